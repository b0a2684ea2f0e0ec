"""Particle sets: towers and tracks as unordered lists of (pT, η, φ, kind)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.files import PARQUET_OPTIONS, atomic_path
from cwolaflow.representation.jagged import (
    flatten,
    gather,
    list_array,
    read_lists,
)
from cwolaflow.representation.pile_up import PileUp
from cwolaflow.representation.preprocessing import REFERENCE_COLUMNS, reference_frame, to_frame
from cwolaflow.selection.skim import ROW_GROUP_EVENTS, iterate_skim

if TYPE_CHECKING:
    import torch

# Column prefix and momentum of a kind in the skim; its place here is its number in `kind`.
KINDS = (("tower", "et"), ("track", "pt"))
STD_FLOOR = 1e-8


def _hardest(rows: np.ndarray, pt: np.ndarray, max_count: int) -> np.ndarray:
    """Places of the ``max_count`` hardest entries of every row, by row and falling pT."""
    order = np.lexsort((-pt, rows))
    sorted_rows = rows[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_rows, sorted_rows)
    return order[rank < max_count]


def build_sets(
    skim: str | Path,
    set_config: dict[str, Any],
    output: str | Path,
    batch_events: int = ROW_GROUP_EVENTS,
    pile_up_library: str | Path | None = None,
    pile_up_seed: int | None = None,
) -> None:
    """Write the towers and tracks of every event of a sample, in the frame of the event.

    Parameters
    ----------
    skim : str or Path
        Skim of the sample.
    set_config : dict
        ``reference``, ``max_towers`` and ``max_tracks`` of the study, and ``pile_up`` if minimum
        bias is to be overlaid: its towers compete with those of the hard event, whose frame and
        tracks stay.
    output : str or Path
        Parquet with ``event_id``, ``pt`` (GeV; E_T for towers), ``eta``, ``phi`` (list<float32>)
        and ``kind`` (list<int8>; 0 tower, 1 track), in the order of the skim; towers first,
        each kind by falling pT and truncated.
    batch_events : int
        Events in memory at a time, at most; it does not change the sets.
    pile_up_library : str or Path, optional
        Library of ``pile_up``.
    pile_up_seed : int, optional
        Seed of the overlay of this sample.

    Raises
    ------
    InputError
        The skim or library is damaged, lacks a column, or an event has no jets.
    ConfigError
        ``pile_up`` is there, but library or seed is not.
    """
    pile_up = PileUp.configured(set_config, pile_up_library, pile_up_seed)
    if pile_up:
        batch_events = pile_up.batch_events(batch_events)
    max_counts = (set_config["max_towers"], set_config["max_tracks"])
    fields = {"event_id": pa.int64()}
    fields |= dict.fromkeys(("pt", "eta", "phi"), pa.list_(pa.float32()))
    schema = pa.schema(fields | {"kind": pa.list_(pa.int8())})
    columns = [f"{kind}_{name}" for kind, pt in KINDS for name in (pt, "eta", "phi")]
    columns = ["event_id", *columns, *REFERENCE_COLUMNS]
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, schema, **PARQUET_OPTIONS) as writer,
    ):
        for events in iterate_skim(skim, columns, batch_events):
            phi_zero, eta_sign = reference_frame(events, set_config["reference"])
            parts = []
            for number, (kind, pt_name) in enumerate(KINDS):
                rows, pt = flatten(events[f"{kind}_{pt_name}"])
                _, eta = flatten(events[f"{kind}_eta"])
                _, phi = flatten(events[f"{kind}_phi"])
                if pile_up and kind == "tower":
                    rows, pt, eta, phi = pile_up.add(events["event_id"], rows, pt, eta, phi)
                kept = _hardest(rows, pt, max_counts[number])
                rows = rows[kept]
                eta, phi = to_frame(eta[kept], phi[kept], phi_zero[rows], eta_sign[rows])
                parts.append((rows, pt[kept], eta, phi, np.full(len(rows), number)))
            rows, *values = map(np.concatenate, zip(*parts, strict=True))
            order = np.argsort(rows, kind="stable")
            dtypes = (np.float32, np.float32, np.float32, np.int8)
            lists = [
                list_array(rows[order], value[order].astype(dtype), len(phi_zero))
                for value, dtype in zip(values, dtypes, strict=True)
            ]
            arrays = [pa.array(events["event_id"]), *lists]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def standardise_pt(event: np.ndarray, kind: np.ndarray, pt: np.ndarray) -> np.ndarray:
    """Shift and scale pT to mean 0 and population standard deviation 1 per event and kind.

    Parameters
    ----------
    event, kind : ndarray of int, shape (n,)
        Event and kind of every entry.
    pt : ndarray, shape (n,)
        GeV.

    Returns
    -------
    ndarray of float32, shape (n,)
        0 for a kind that has one entry in its event: the deviation is floored at `STD_FLOOR` GeV.
    """
    group = event * len(KINDS) + kind
    pt = pt.astype(np.float64)
    counts = np.maximum(np.bincount(group), 1)
    centred = pt - (np.bincount(group, weights=pt) / counts)[group]
    std = np.sqrt(np.bincount(group, weights=centred**2) / counts)
    return (centred / np.maximum(std, STD_FLOOR)[group]).astype(np.float32)


class ParticleSets:
    """Particle sets of many events, padded one batch at a time.

    Parameters
    ----------
    offsets : int64 tensor, shape (n_events + 1,)
        Particles of event i are ``offsets[i]:offsets[i + 1]``.
    features : float32 tensor, shape (n_particles, 5)
        Standardised pT, η, φ, one-hot kind.
    """

    def __init__(self, offsets: torch.Tensor, features: torch.Tensor) -> None:
        self.offsets, self.features = offsets, features

    @classmethod
    def read(cls, paths: Sequence[str | Path]) -> tuple[Self, np.ndarray]:
        """Read set files, one sample after the other.

        Returns
        -------
        sets : ParticleSets
        event_id : ndarray of int64, shape (n_events,)

        Raises
        ------
        InputError
            A file is missing or damaged.
        """
        import torch

        event_id, offsets, lists = read_lists(paths, ["pt", "eta", "phi", "kind"])
        event = np.repeat(np.arange(len(event_id)), np.diff(offsets))
        features = np.zeros((len(event), 3 + len(KINDS)), np.float32)
        features[:, 0] = standardise_pt(event, lists["kind"], lists["pt"])
        features[:, 1] = lists["eta"]
        features[:, 2] = lists["phi"]
        features[np.arange(len(event)), 3 + lists["kind"]] = 1
        return cls(torch.from_numpy(offsets), torch.from_numpy(features)), event_id

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def input_shape(self) -> tuple[int]:
        """Features of one particle."""
        return (self.features.shape[1],)

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give the model's arguments for some events.

        Returns
        -------
        features : float32 tensor, shape (n, longest, 5)
            ``longest`` is the largest number of particles among ``indices``; 0 where padded.
        mask : bool tensor, shape (n, longest)
            True for a particle, False for padding.
        """
        import torch

        row, place, entry = gather(self.offsets, indices)
        longest = int((self.offsets[indices + 1] - self.offsets[indices]).max())
        features = torch.zeros(len(indices), longest, self.features.shape[1])
        mask = torch.zeros(len(indices), longest, dtype=torch.bool)
        features[row, place] = self.features[entry]
        mask[row, place] = True
        return features, mask

    def fit_scaler(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Nothing to fit: pT is standardised within its event."""
        return {}

    def scaled(self, scaler: dict[str, torch.Tensor]) -> Self:
        """Give the sets themselves."""
        return self
