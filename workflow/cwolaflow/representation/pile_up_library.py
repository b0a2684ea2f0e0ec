"""The library of pile-up: towers of minimum-bias events."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.delphes import DelphesFile
from cwolaflow.errors import InputError
from cwolaflow.files import atomic_path, parquet_options
from cwolaflow.logs import progress
from cwolaflow.representation.jagged import flatten, list_array
from cwolaflow.representation.pile_up import TOWER_COLUMNS
from cwolaflow.selection.skimmed import ENTRIES_PER_FILE, ROW_GROUP_EVENTS

NEEDED = dict.fromkeys((*TOWER_COLUMNS, "event_weight"), "pile-up")
LIBRARY_SCHEMA = pa.schema(
    {"event_id": pa.int64()} | dict.fromkeys(TOWER_COLUMNS, pa.list_(pa.float32()))
)

log = logging.getLogger(__name__)


def build_library(
    delphes_files: Sequence[str | Path],
    output: str | Path,
    chunk_events: int = ROW_GROUP_EVENTS,
) -> None:
    """Write the towers of minimum-bias events, those without towers included.

    Parameters
    ----------
    delphes_files : sequence of str or Path
        Delphes files of unweighted minimum-bias events.
    output : str or Path
        Parquet with ``event_id`` int64 (index of the file · 2³² + entry) and ``tower_et`` (GeV),
        ``tower_eta``, ``tower_phi`` (list<float32>).
    chunk_events : int
        Events in memory at a time.

    Raises
    ------
    InputError
        A file is missing, damaged, has no events or towers to read, or its events have different
        weights; or no event of all files has a tower.
    """
    weight, events, towers = None, 0, 0
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, LIBRARY_SCHEMA, **parquet_options(LIBRARY_SCHEMA)) as writer,
    ):
        for index, path in enumerate(delphes_files):
            with DelphesFile(path) as file:
                file.require(NEEDED)
                chunks = progress(
                    file.chunks(NEEDED, chunk_events),
                    f"library {Path(file.path).name}",
                    total=math.ceil(file.entries / chunk_events),
                    unit="chunk",
                )
                for start, chunk in chunks:
                    weight = chunk["event_weight"][0] if weight is None else weight
                    _check_weights(chunk["event_weight"], weight, file.path, start)
                    batch = _to_arrow(chunk, index * ENTRIES_PER_FILE + start)
                    writer.write_batch(batch)
                    events += batch.num_rows
                    towers += int(ak.sum(ak.num(chunk["tower_et"])))
        if not towers:
            raise InputError(
                f"{output}: no tower in any of the {events} events of {len(delphes_files)} files; "
                "give Delphes files of minimum bias"
            )
    log.info("%s: %d events with %.1f towers each", output, events, towers / events)


def _check_weights(weights: np.ndarray, expected: float, path: str, start: int) -> None:
    if np.any(differ := weights != expected):
        entry = int(np.argmax(differ))
        raise InputError(
            f"{path}: 'Event.Weight' is {weights[entry]:g} in entry {start + entry}, {expected:g} "
            "before; pile-up draws all events alike: give unweighted minimum-bias events"
        )


def _to_arrow(events: Mapping[str, Any], first_id: int) -> pa.RecordBatch:
    length = len(events["event_weight"])
    lists = (list_array(*flatten(events[name]), length) for name in TOWER_COLUMNS)
    return pa.record_batch([np.arange(length) + first_id, *lists], schema=LIBRARY_SCHEMA)
