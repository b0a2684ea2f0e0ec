"""Skims: the selected events of a sample in one Parquet file, joined and read in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cwolaflow.columns import BRANCHES, DERIVED
from cwolaflow.errors import InputError
from cwolaflow.files import atomic_path, iterate_batches, open_parquet, parquet_options
from cwolaflow.selection.cutflow import merge_cutflows

# Joining needs no awkward.
if TYPE_CHECKING:
    import awkward as ak

ROW_GROUP_EVENTS = 5000
ENTRIES_PER_FILE = 2**32
"""event_id = file_index · 2³² + entry."""


def merge_skims(
    parts: Sequence[str | Path], cutflows: Sequence[Mapping[str, Any]], output: str | Path
) -> dict[str, Any]:
    """Join the skims of one sample's parts, a row group at a time.

    Parameters
    ----------
    parts : sequence of str or Path
        Parquet files of ``skim_files``, in the order of their file indices.
    cutflows : sequence of mapping
        What ``skim_files`` returned for each.
    output : str or Path
        Parquet file of the sample.

    Returns
    -------
    dict
        The cutflow of the sample.

    Raises
    ------
    InputError
        A part is damaged, or the parts have different columns.
    ConfigError
        The parts were made with different cuts.
    """
    cutflow = merge_cutflows(cutflows)
    with row_groups(output) as rows:
        for path in parts:
            schema = _read_schema(path)
            if rows.schema is None:
                rows.open(schema)
            if not schema.equals(rows.schema):
                differing = sorted(set(schema.names) ^ set(rows.schema.names))
                raise InputError(
                    f"{path}: other columns than {parts[0]} ({', '.join(differing)}); "
                    "all files of a sample need the same branches"
                )
            for batch in _batches(path, schema.names, ROW_GROUP_EVENTS):
                rows.add(pa.Table.from_batches([batch]))
    return cutflow


def iterate_skim(
    path: str | Path, columns: Sequence[str], batch_events: int = ROW_GROUP_EVENTS
) -> Iterator[dict[str, ak.Array | np.ndarray]]:
    """Read columns of a skim, a bounded number of events at a time.

    Parameters
    ----------
    path : str or Path
        Parquet file of ``skim_files`` or ``merge_skims``.
    columns : sequence of str
        ``event_id`` and columns of ``columns.BRANCHES`` or ``columns.DERIVED``.
    batch_events : int
        Largest number of events in a batch.

    Yields
    ------
    dict of str to np.ndarray, shape (n,), or ak.Array, type n * var * number
        See ``columns.Events``.

    Raises
    ------
    InputError
        The file is damaged or lacks a column.
    """
    stored = _read_schema(path).names
    for column in columns:
        if column not in stored:
            if column in DERIVED:
                raise InputError(
                    f"{path}: no column '{column}'; let a cut of the study use it: leptons as an "
                    "object with `collection: leptons`, constituents as jet1_n_constituents"
                )
            branch = BRANCHES.get(column, column)
            raise InputError(
                f"{path}: no column '{column}'; the Delphes files lack '{branch}': "
                "keep it in the card's TreeWriter"
            )
    for batch in _batches(path, columns, batch_events):
        yield {name: _from_arrow(batch.column(name)) for name in columns}


def _from_arrow(column: pa.Array) -> ak.Array | np.ndarray:
    if not pa.types.is_list(column.type):
        return column.to_numpy(zero_copy_only=False)
    import awkward as ak

    counts = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    return ak.unflatten(column.flatten().to_numpy(zero_copy_only=False), counts)


def _read_schema(path: str | Path) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


def _batches(path: str | Path, columns: Sequence[str], events: int) -> Iterator[pa.RecordBatch]:
    with open_parquet(path) as file:
        yield from iterate_batches(file, columns, events)


class RowGroups:
    """Gather tables into row groups of a useful size, whatever the size of the chunks.

    Parameters
    ----------
    path : Path
        Parquet file to write.

    Attributes
    ----------
    schema : pa.Schema or None
        None until it is known.
    """

    def __init__(self, path: Path):
        self._path = path
        self._tables: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self.schema: pa.Schema | None = None

    def open(self, schema: pa.Schema) -> None:
        """Set the schema, and begin the file."""
        self.schema = schema
        self._writer = pq.ParquetWriter(self._path, schema, **parquet_options(schema))

    def add(self, table: pa.Table) -> None:
        """Add some events; they are written when there are enough."""
        self._tables.append(table)
        if sum(map(len, self._tables)) >= ROW_GROUP_EVENTS:
            self.flush()

    def flush(self) -> None:
        """Write what is left."""
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
            self._tables = []

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def row_groups(output: str | Path) -> Iterator[RowGroups]:
    """Write a skim: give its row groups, and on success the file that they are in."""
    with atomic_path(output) as temporary:
        rows = RowGroups(temporary)
        try:
            yield rows
            rows.flush()
        finally:
            rows.close()
