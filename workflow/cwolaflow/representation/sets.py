"""Particle sets: constituents as unordered lists of (pT, η, φ, kind)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.errors import ConfigError
from cwolaflow.files import PARQUET_OPTIONS, atomic_path
from cwolaflow.representation.constituents import (
    DECAY_PRODUCT,
    KINDS,
    ConstituentInputs,
    Particles,
)
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
from cwolaflow.selection.skim import ROW_GROUP_EVENTS, iterate_skim

if TYPE_CHECKING:
    import torch

    from cwolaflow.representation.augmentation import Copies

DECAY_COLUMNS = {"photons": "photon", "leptons": "lepton"}
"""Column prefix in the skim of each key of ``decay_products``."""

ORDERS = ("pt", "file")
STD_FLOOR = 1e-8  # GeV
REMOVAL_PHI = np.pi / 40
REMOVAL_ETA = 5 / 40
"""Half sides of the window of removal, as published: half a pixel of 40 × 40 in η of ±5 and φ."""


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
        pq.ParquetWriter(temporary, schema, **PARQUET_OPTIONS) as writer,
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
        Of two entries, as of a pair of photons, the harder gets 1 and the softer -1.
    """
    group = event * len(KINDS) + kind
    pt = pt.astype(np.float64)
    counts = np.maximum(np.bincount(group), 1)
    centred = pt - (np.bincount(group, weights=pt) / counts)[group]
    std = np.sqrt(np.bincount(group, weights=centred**2) / counts)
    return (centred / np.maximum(std, STD_FLOOR)[group]).astype(np.float32)


def without_decay_products(particles: Particles) -> Particles:
    r"""Drop the decay products, and of the other kinds what lies in a window around one of them.

    The window is \|Δφ\| < π/40 and \|Δη\| < 5/40, limits excluded; Δφ is the plain difference, so
    that no window reaches across φ = ±π. As in the code of arXiv:2511.18726.
    """
    decay = particles.where(particles.kind == DECAY_PRODUCT)
    counts = decay.counts()
    rank = np.arange(len(decay.row)) - (np.cumsum(counts) - counts)[decay.row]
    centres = np.full((counts.max(initial=0), 2, particles.n_events), np.nan)
    centres[rank, :, decay.row] = np.stack([decay.eta, decay.phi], axis=1)
    is_near = np.zeros(len(particles.row), bool)
    for eta, phi in centres:
        delta_eta = np.abs(particles.eta - eta[particles.row])
        delta_phi = np.abs(particles.phi - phi[particles.row])
        is_near |= (delta_eta < REMOVAL_ETA) & (delta_phi < REMOVAL_PHI)
    return particles.where(~is_near & (particles.kind != DECAY_PRODUCT))


def _by_kind(particles: Particles) -> np.ndarray:
    return standardise_pt(particles.row, particles.kind, particles.pt)


def _by_event(particles: Particles) -> np.ndarray:
    return standardise_pt(particles.row, np.zeros_like(particles.kind), particles.pt)


def _logarithm(particles: Particles) -> np.ndarray:
    return np.log1p(particles.pt)


PT_STANDARDS = {"kind": _by_kind, "event": _by_event, "log": _logarithm}


class ParticleSets(ConstituentInputs):
    """Particle sets of many events, padded one batch at a time.

    Without decay products, see `without_decay_products`, pT is standardised after their removal.

    Parameters
    ----------
    offsets, columns, decay_products
        See `ConstituentInputs`.
    standardise_pt : str
        ``kind``: `standardise_pt` per event and kind, as published, which loses the pT of two
        photons; ``event``: per event, all kinds together; ``log``: ln(1 + pT / GeV) instead.

    Raises
    ------
    ConfigError
        An option is unknown.
    """

    def __init__(
        self,
        offsets: torch.Tensor,
        columns: dict[str, np.ndarray],
        decay_products: str | None = None,
        standardise_pt: str = "kind",
    ) -> None:
        super().__init__(offsets, columns, decay_products)
        if standardise_pt not in PT_STANDARDS:
            raise ConfigError(
                f"'input.standardise_pt': {standardise_pt!r} is unknown; "
                f"choose from {', '.join(PT_STANDARDS)}"
            )
        self.standard = PT_STANDARDS[standardise_pt]

    @property
    def input_shape(self) -> tuple[int]:
        """Features of one particle: pT, η, φ and one-hot kind."""
        return (3 + self.n_kinds,)

    def batch(
        self, indices: torch.Tensor, augmentation: Copies | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the model's arguments for some events.

        Parameters
        ----------
        indices : int64 tensor, shape (n,)
        augmentation : Copies, optional
            Which example of each event; the events themselves if not given.

        Returns
        -------
        features : float32 tensor, shape (n, longest, 3 + kinds)
            Standardised pT, η, φ, one-hot kind. ``longest`` is the largest number of particles
            among ``indices``; 0 where padded.
        mask : bool tensor, shape (n, longest)
            True for a particle, False for padding.
        """
        import torch

        particles = self.take(indices, augmentation)
        if self.decay_products == "without":
            particles = without_decay_products(particles)
        counts, row = particles.counts(), particles.row
        place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
        shape = len(indices), counts.max(initial=0)
        features = np.zeros((*shape, *self.input_shape), np.float32)
        features[row, place, 0] = self.standard(particles)
        features[row, place, 1] = particles.eta
        features[row, place, 2] = particles.phi
        features[row, place, 3 + particles.kind] = 1
        mask = np.zeros(shape, bool)
        mask[row, place] = True
        return torch.from_numpy(features), torch.from_numpy(mask)
