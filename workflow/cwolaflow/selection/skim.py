"""From Delphes files to one Parquet file of selected events, in bounded memory."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cwolaflow.delphes import BRANCHES, DERIVED, SCALARS, DelphesFile, Events
from cwolaflow.errors import InputError
from cwolaflow.files import PARQUET_OPTIONS, atomic_path, open_parquet
from cwolaflow.logs import progress
from cwolaflow.selection.preselection import Preselection, count_cutflow, merge_cutflows

ROW_GROUP_EVENTS = 5000
ENTRIES_PER_FILE = 2**32
"""event_id = file_index · 2³² + entry."""

INTEGER_COLUMNS = frozenset({"jet_flavour", "jet_b_tag", "jet_tau_tag", "jet_n_constituents"})

ALWAYS_NEEDED = dict.fromkeys(
    (
        "event_weight",
        "missing_et",
        "missing_et_phi",
        "jet_pt",
        "jet_eta",
        "jet_phi",
        "jet_mass",
        "jet_flavour",
        "tower_et",
        "tower_eta",
    ),
    "the event table",
)
"""Columns without which no later stage works, and what needs them."""

log = logging.getLogger(__name__)


def skim_files(
    files: Sequence[str | Path],
    skim: Mapping[str, Any],
    output: str | Path,
    file_index: int = 0,
    needed: Mapping[str, str] = ALWAYS_NEEDED,
) -> dict[str, Any]:
    """Select events of Delphes files and write them to one Parquet file.

    Parameters
    ----------
    files : sequence of str or Path
        Delphes files of one sample; all must have the same collections.
    skim : mapping
        The study's ``skim`` block.
    output : str or Path
        Parquet file, one row an event that passes every cut: ``event_id`` int64,
        ``event_weight`` float64, other scalars float32, lists of float32 (GeV, rad) and int32.
        Columns that no file has are left out; of the derived ones, those are there that a cut uses,
        and with ``lepton_pt`` the leptons' angles.
    file_index : int
        Index of the first file within its sample, for ``event_id``.
    needed : mapping of str to str
        Columns that must be there whatever the cuts, and what needs each.

    Returns
    -------
    dict
        The cutflow, see ``preselection.count_cutflow``.

    Raises
    ------
    InputError
        A file is missing, damaged, has no events, lacks a branch, or holds NaN or infinity.
    ConfigError
        The ``skim`` block does not make sense.
    """
    preselection = Preselection(skim)
    derived = derived_columns(preselection)
    needed = {**needed, **preselection.columns, "event_weight": "every sample"}
    needed |= dict.fromkeys(derived - needed.keys(), "the leptons of the skim")
    cutflows = []
    columns: frozenset[str] | None = None
    with _row_groups(output) as rows:
        for index, path in enumerate(files, start=file_index):
            with DelphesFile(path) as file:
                file.require(needed)
                if columns is None:
                    columns = file.columns
                    stored = columns | derived
                    rows.open(skim_schema(stored))
                _check_same_columns(file, columns, files[0])
                for start, events in _progress(file, stored, skim["chunk_events"]):
                    flow = preselection.apply(events)
                    cutflows.append(count_cutflow(flow, events["event_weight"]))
                    passed = list(flow.values())[-1]
                    entry = start + np.flatnonzero(passed)
                    selected = {name: values[passed] for name, values in events.items()}
                    rows.add(_to_arrow(selected, index * ENTRIES_PER_FILE + entry, rows.schema))
    cutflow = merge_cutflows(cutflows)
    log.info("%s: %d of %d events pass", output, cutflow["cuts"][-1]["events"], cutflow["events"])
    return cutflow


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
    with _row_groups(output) as rows:
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
        ``event_id`` and columns of ``delphes.BRANCHES`` or ``delphes.DERIVED``.
    batch_events : int
        Largest number of events in a batch.

    Yields
    ------
    dict of str to np.ndarray, shape (n,), or ak.Array, type n * var * number
        See ``delphes.Events``.

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


def derived_columns(preselection: Preselection) -> frozenset[str]:
    """Columns of ``delphes.DERIVED`` that the skim of a study has."""
    used = DERIVED.keys() & preselection.columns.keys()
    leptons = {name for name in DERIVED if name.startswith("lepton_")}
    return frozenset(used | leptons if used & leptons else used)


def skim_schema(columns: frozenset[str]) -> pa.Schema:
    """Arrow schema of a skim with these columns, the same whatever events are in it."""
    fields = [("event_id", pa.int64())]
    for column in (*BRANCHES, *DERIVED):
        if column in columns:
            number = pa.int32() if column in INTEGER_COLUMNS else pa.float32()
            scalar = pa.float64() if column == "event_weight" else number
            fields.append((column, scalar if column in SCALARS else pa.list_(number)))
    return pa.schema(fields)


def _progress(file: DelphesFile, columns: frozenset[str], chunk_events: int):
    return progress(
        file.chunks(columns, chunk_events),
        f"skim {Path(file.path).name}",
        total=math.ceil(file.entries / chunk_events),
        unit="chunk",
    )


def _check_same_columns(file: DelphesFile, columns: frozenset[str], first: str | Path) -> None:
    differing = sorted(BRANCHES[column] for column in file.columns ^ columns)
    if differing:
        raise InputError(
            f"{file.path}: other branches than {first} ({', '.join(differing)}); "
            "all files of a sample need the same branches"
        )


def _to_arrow(events: Events, event_id: np.ndarray, schema: pa.Schema) -> pa.Table:
    arrays = [
        ak.to_arrow(
            event_id if field.name == "event_id" else events[field.name],
            list_to32=True,
            extensionarray=False,
        ).cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _from_arrow(column: pa.Array) -> ak.Array | np.ndarray:
    if not pa.types.is_list(column.type):
        return column.to_numpy(zero_copy_only=False)
    counts = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    return ak.unflatten(column.flatten().to_numpy(zero_copy_only=False), counts)


def _read_schema(path: str | Path) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


def _batches(path: str | Path, columns: Sequence[str], events: int) -> Iterator[pa.RecordBatch]:
    with open_parquet(path) as file:
        yield from file.iter_batches(events, columns=list(columns))


class _RowGroups:
    """Gather tables into row groups of a useful size, whatever the size of the chunks."""

    def __init__(self, path: Path):
        self._path = path
        self._tables: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self.schema: pa.Schema | None = None

    def open(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._writer = pq.ParquetWriter(self._path, schema, **PARQUET_OPTIONS)

    def add(self, table: pa.Table) -> None:
        self._tables.append(table)
        if sum(map(len, self._tables)) >= ROW_GROUP_EVENTS:
            self.flush()

    def flush(self) -> None:
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
            self._tables = []

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@contextmanager
def _row_groups(output: str | Path) -> Iterator[_RowGroups]:
    with atomic_path(output) as temporary:
        rows = _RowGroups(temporary)
        try:
            yield rows
            rows.flush()
        finally:
            rows.close()
