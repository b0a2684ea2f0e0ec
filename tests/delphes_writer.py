"""Constructed events, as columns or as a ROOT file with the branch names of Delphes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from cwolaflow.columns import BRANCHES, SCALARS

COUNTS = {"jet_n_charged": "Jet.NCharged", "jet_n_neutrals": "Jet.NNeutrals"}
WRITTEN = BRANCHES | COUNTS
INTEGERS = {"Flavor", "BTag", "TauTag", "NCharged", "NNeutrals"}


@dataclass(frozen=True)
class Jet:
    pt: float
    eta: float
    phi: float
    mass: float = 0.0
    flavour: int = 1
    b_tag: int = 0
    tau_tag: int = 0
    n_charged: int = 6
    n_neutrals: int = 4


@dataclass(frozen=True)
class Event:
    """Objects other than jets are (pt, eta, phi); towers have ET for pt."""

    jets: Sequence[Jet] = ()
    missing_et: float = 0.0
    missing_et_phi: float = 0.0
    weight: float = 1.0
    electrons: Sequence[tuple] = ()
    muons: Sequence[tuple] = ()
    photons: Sequence[tuple] = ()
    towers: Sequence[tuple] = ()
    tracks: Sequence[tuple] = ()


def _values(event: Event, column: str) -> list:
    if column == "event_weight":
        return [event.weight]
    if column in SCALARS:
        return [getattr(event, column)]
    collection, _, quantity = column.partition("_")
    if collection == "jet":
        return [getattr(jet, quantity) for jet in event.jets]
    position = {"pt": 0, "et": 0, "eta": 1, "phi": 2}[quantity]
    return [entry[position] for entry in getattr(event, f"{collection}s")]


def _lists(flat: np.ndarray, counts) -> ak.Array:
    return ak.unflatten(flat, np.asarray(counts, dtype=np.int64))


def to_columns(events: Sequence[Event]) -> dict[str, ak.Array | np.ndarray]:
    """Give what DelphesFile.chunks yields for events whose jets and leptons are in order."""
    columns = _written(events)
    n_charged, n_neutrals = (columns.pop(name) for name in COUNTS)
    leptons = {
        f"lepton_{q}": ak.concatenate([columns[f"electron_{q}"], columns[f"muon_{q}"]], axis=1)
        for q in ("pt", "eta", "phi")
    }
    return columns | {"jet_n_constituents": n_charged + n_neutrals} | leptons


def _written(events: Sequence[Event]) -> dict[str, ak.Array | np.ndarray]:
    columns = {}
    for column, branch in WRITTEN.items():
        lists = [_values(event, column) for event in events]
        dtype = np.int32 if branch.partition(".")[2] in INTEGERS else np.float32
        flat = np.array([value for values in lists for value in values], dtype=dtype)
        columns[column] = flat if column in SCALARS else _lists(flat, [len(x) for x in lists])
    return columns


def write_columns(path: Path, columns: dict, drop: Collection[str] = ()) -> Path:
    """Write columns as a flat Delphes tree without the collections or branches in ``drop``."""
    collections: dict[str, dict] = {}
    for column, values in columns.items():
        collection, _, quantity = WRITTEN[column].partition(".")
        if collection not in drop and WRITTEN[column] not in drop:
            lists = values if values.ndim == 2 else _lists(values, np.ones(len(values)))
            collections.setdefault(collection, {})[quantity] = ak.to_packed(lists)
    records = {name: ak.zip(quantities) for name, quantities in collections.items()}
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Delphes",
            {name: record.type.content for name, record in records.items()},
            counter_name=lambda counted: f"{counted}_size",
            field_name=lambda outer, inner: f"{outer}.{inner}" if outer else inner,
        )
        if any(len(record) for record in records.values()):
            tree.extend(records)
    return path


def write_delphes(path: Path, events: Sequence[Event], drop: Collection[str] = ()) -> Path:
    """Write events as a flat Delphes tree."""
    return write_columns(path, _written(events), drop)
