"""Lists of different length: written, held flat in memory, gathered by event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cwolaflow.errors import InputError
from cwolaflow.files import open_parquet

# Reading needs no awkward.
if TYPE_CHECKING:
    import awkward as ak


def flatten(lists: ak.Array) -> tuple[np.ndarray, np.ndarray]:
    """Give the row of every list entry, int64, and its value, both of shape (n_entries,)."""
    import awkward as ak

    counts = ak.to_numpy(ak.num(lists))
    return np.repeat(np.arange(len(lists)), counts), ak.to_numpy(ak.flatten(lists))


def list_array(rows: np.ndarray, values: np.ndarray, length: int) -> pa.ListArray:
    """Make ``length`` lists of ``values`` whose sorted row numbers are ``rows``."""
    offsets = np.searchsorted(rows, np.arange(length + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, values)


def read_lists(
    paths: Sequence[str | Path], columns: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Read list columns of equal lengths from several files, one after the other.

    Returns
    -------
    event_id : ndarray of int64, shape (n_events,)
    offsets : ndarray of int64, shape (n_events + 1,)
        Entries of event i are ``offsets[i]:offsets[i + 1]``.
    values : dict of ndarray, shape (n_entries,)
        Flat values by column.

    Raises
    ------
    InputError
        A file is missing, damaged or lacks a column.
    """
    event_ids: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    values: dict[str, list[np.ndarray]] = {name: [] for name in columns}
    for path in paths:
        with open_parquet(path) as parquet:
            missing = {"event_id", *columns} - set(parquet.schema_arrow.names)
            if missing:
                raise InputError(
                    f"{path}: has no column {sorted(missing)[0]!r}; delete it and run again"
                )
            table = parquet.read(["event_id", *columns])
        event_ids.append(table["event_id"].to_numpy())
        for chunk in table[columns[0]].chunks:
            counts.append(chunk.value_lengths().to_numpy(zero_copy_only=False))
        for name in columns:
            values[name].extend(c.flatten().to_numpy() for c in table[name].chunks)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    # Column by column, so that no more than one is in memory twice.
    flat = {name: np.concatenate(values.pop(name)) for name in columns}
    return np.concatenate(event_ids), offsets, flat


def gather(offsets: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the entries of some events.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
    indices : ndarray of int64, shape (n,)

    Returns
    -------
    row, place, entry : ndarray of int64, shape (n_entries,)
        Position of the event in ``indices``, place of the entry within its event, and place of
        the entry in the flat values.
    """
    first = offsets[indices]
    counts = offsets[indices + 1] - first
    row = np.repeat(np.arange(len(indices)), counts)
    place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    return row, place, first[row] + place
