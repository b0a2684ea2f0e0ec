"""From Delphes files to one Parquet file of selected events, in bounded memory."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa

from cwolaflow.columns import BRANCHES, DERIVED, SCALARS, Events
from cwolaflow.delphes import DelphesFile
from cwolaflow.errors import InputError
from cwolaflow.logs import progress
from cwolaflow.selection.cutflow import count_cutflow, merge_cutflows
from cwolaflow.selection.preselection import Preselection
from cwolaflow.selection.skimmed import ENTRIES_PER_FILE, row_groups

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
        The cutflow, see ``cutflow.count_cutflow``.

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
    with row_groups(output) as rows:
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


def derived_columns(preselection: Preselection) -> frozenset[str]:
    """Columns of ``columns.DERIVED`` that the skim of a study has."""
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
