"""Particle sets made from the skim: the constituents of every event, in its frame."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.errors import ConfigError
from cwolaflow.files import atomic_path, parquet_options
from cwolaflow.representation.constituents import DECAY_PRODUCT
from cwolaflow.representation.jagged import flatten, list_array
from cwolaflow.representation.pile_up import PileUp
from cwolaflow.representation.preprocessing import (
    CENTROID,
    REFERENCE_COLUMNS,
    VARIANCES,
    centroid_frame,
    reference_frame,
    to_frame,
)
from cwolaflow.selection.skimmed import ROW_GROUP_EVENTS, iterate_skim

DECAY_COLUMNS = {"photons": "photon", "leptons": "lepton"}
"""Column prefix in the skim of each key of ``decay_products``."""

ORDERS = ("pt", "file")


def kept_places(rows: np.ndarray, pt: np.ndarray, max_count: int, order: str) -> np.ndarray:
    """Find the first ``max_count`` entries of every row.

    Parameters
    ----------
    rows, pt : ndarray, shape (n,)
        Event and momentum of every entry.
    max_count : int
    order : str
        ``pt``, the hardest first, or ``file``, as they stand.

    Returns
    -------
    ndarray of int64
        Their places, by row and in that order.
    """
    places = np.lexsort((-pt, rows)) if order == "pt" else np.argsort(rows, kind="stable")
    sorted_rows = rows[places]
    rank = np.arange(len(places)) - np.searchsorted(sorted_rows, sorted_rows)
    return places[rank < max_count]


def _sources(set_config: dict[str, Any]) -> list[tuple[str, str, int, int, str]]:
    """Column prefix, momentum, kind, largest number and order of everything that a set takes."""
    order = set_config.get("order", "pt")
    if order not in ORDERS:
        raise ConfigError(f"'order': {order!r} is unknown; choose from {', '.join(ORDERS)}")
    sources = [
        ("tower", "et", 0, set_config["max_towers"], order),
        ("track", "pt", 1, set_config["max_tracks"], order),
    ]
    decay_products = set_config.get("decay_products", {})
    return sources + [
        (prefix, "pt", DECAY_PRODUCT, decay_products[key], "pt")
        for key, prefix in DECAY_COLUMNS.items()
        if key in decay_products
    ]


def _in_frame(
    events: dict[str, Any],
    set_config: dict[str, Any],
    rows: np.ndarray,
    pt: np.ndarray,
    eta: np.ndarray,
    phi: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate and reflect everything that is kept of some events into the frame of its event."""
    if set_config["reference"] != CENTROID:
        phi_zero, eta_sign = reference_frame(events, set_config["reference"])
        return to_frame(eta, phi, phi_zero[rows], eta_sign[rows])
    variance_over = set_config.get("variance_over", "slots")
    if variance_over not in VARIANCES:
        raise ConfigError(
            f"'variance_over': {variance_over!r} is unknown; choose from {', '.join(VARIANCES)}"
        )
    slots = None
    if variance_over == "slots":
        slots = sum(max_count for *_, max_count, _ in _sources(set_config))
    return centroid_frame(rows, pt, eta, phi, len(events["event_id"]), slots)


def build_sets(
    skim: str | Path,
    set_config: dict[str, Any],
    output: str | Path,
    batch_events: int = ROW_GROUP_EVENTS,
    pile_up_library: str | Path | None = None,
    pile_up_seed: int | None = None,
) -> None:
    """Write the constituents of every event of a sample, in the frame of the event.

    Parameters
    ----------
    skim : str or Path
        Skim of the sample.
    set_config : dict
        Of the study: ``reference`` (see `preprocessing`), ``max_towers`` and ``max_tracks``, and
        optionally: ``order``, whether the hardest (``pt``) or the first in the skim (``file``) of
        them are kept; ``decay_products``, with the number of hardest ``photons`` and ``leptons``
        to keep; ``variance_over`` for the frame ``pt_centroid``, whether empty ``slots`` enter or
        ``constituents`` alone; ``pile_up`` if minimum bias is to be overlaid: its towers compete
        with those of the hard event, before which they never come in the order of the file. They
        enter the frame ``pt_centroid``, as everything kept does, and no other.
    output : str or Path
        Parquet with ``event_id``, ``pt`` (GeV; E_T for towers), ``eta``, ``phi`` (list<float32>)
        and ``kind`` (list<int8>; place in `KINDS`), in the order of the skim; towers, then tracks,
        photons and leptons, each truncated in its order, the latter two by falling pT.
    batch_events : int
        Events in memory at a time, at most; it does not change the sets.
    pile_up_library : str or Path, optional
        Library of ``pile_up``.
    pile_up_seed : int, optional
        Seed of the overlay of this sample.

    Raises
    ------
    InputError
        The skim or library is damaged, lacks a column, or an event has no jets where the frame
        needs one.
    ConfigError
        ``pile_up`` is there, but library or seed is not; or an option is unknown.
    """
    pile_up = PileUp.configured(set_config, pile_up_library, pile_up_seed)
    if pile_up:
        batch_events = pile_up.batch_events(batch_events)
    sources = _sources(set_config)
    fields = {"event_id": pa.int64()}
    fields |= dict.fromkeys(("pt", "eta", "phi"), pa.list_(pa.float32()))
    schema = pa.schema(fields | {"kind": pa.list_(pa.int8())})
    columns = [f"{prefix}_{name}" for prefix, pt, *_ in sources for name in (pt, "eta", "phi")]
    if set_config["reference"] != CENTROID:
        columns += REFERENCE_COLUMNS
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, schema, **parquet_options(schema)) as writer,
    ):
        for events in iterate_skim(skim, ["event_id", *columns], batch_events):
            parts = []
            for prefix, pt_name, kind, max_count, order in sources:
                rows, pt = flatten(events[f"{prefix}_{pt_name}"])
                _, eta = flatten(events[f"{prefix}_eta"])
                _, phi = flatten(events[f"{prefix}_phi"])
                if pile_up and prefix == "tower":
                    rows, pt, eta, phi = pile_up.add(events["event_id"], rows, pt, eta, phi)
                kept = kept_places(rows, pt, max_count, order)
                kinds = np.full(len(kept), kind)
                parts.append((rows[kept], pt[kept], eta[kept], phi[kept], kinds))
            rows, pt, eta, phi, kind = map(np.concatenate, zip(*parts, strict=True))
            eta, phi = _in_frame(events, set_config, rows, pt, eta, phi)
            order = np.argsort(rows, kind="stable")
            dtypes = (np.float32, np.float32, np.float32, np.int8)
            lists = [
                list_array(rows[order], value[order].astype(dtype), len(events["event_id"]))
                for value, dtype in zip((pt, eta, phi, kind), dtypes, strict=True)
            ]
            arrays = [pa.array(events["event_id"]), *lists]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
