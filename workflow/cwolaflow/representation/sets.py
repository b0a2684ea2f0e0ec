"""Particle sets: constituents as unordered lists of (pT, η, φ, kind)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cwolaflow.errors import ConfigError
from cwolaflow.representation.constituents import (
    DECAY_PRODUCT,
    KINDS,
    ConstituentInputs,
    Particles,
)

if TYPE_CHECKING:
    import torch

    from cwolaflow.representation.augmentation import Copies

STD_FLOOR = 1e-8  # GeV
REMOVAL_PHI = np.pi / 40
REMOVAL_ETA = 5 / 40
"""Half sides of the window of removal, as published: half a pixel of 40 × 40 in η of ±5 and φ."""


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
        offsets: np.ndarray,
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
