"""Copies of training events whose constituents are changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cwolaflow.kinematics import wrap_phi
from cwolaflow.philox import philox, uniform
from cwolaflow.representation.constituents import Particles

ORIGINAL, PHI_SHIFT, PT_SMEAR, ETA_PHI_SMEAR = range(4)
KINDS = {"phi_shift": PHI_SHIFT, "pt_smear": PT_SMEAR, "eta_phi_smear": ETA_PHI_SMEAR}
"""Kinds of copies; the numbers also keep their random streams apart."""

PT_NOISE, PT_STOCHASTIC = 0.052, 1.502  # σ² = 0.052 pT² + 1.502 GeV pT
DIRECTION_SMEARING = 0.1  # σ of η and φ is 0.1 GeV / pT


def _normals(words: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Two independent standard normal numbers, by the method of Box and Muller."""
    radius = np.sqrt(-2 * np.log1p(-uniform(words[0])))
    angle = 2 * np.pi * uniform(words[1])
    return radius * np.cos(angle), radius * np.sin(angle)


class Augmentation:
    """Copies of training events, as arXiv:2511.18726 and its code make them.

    ``phi_shift`` rotates all constituents of an event by one angle. ``pt_smear`` draws each pT
    from N(pT, σ² = 0.052 pT² + 1.502 GeV pT), 0 where that is negative. ``eta_phi_smear`` moves
    η and φ of each by N(0, σ = 0.1 GeV / pT), σ at most π and none for pT = 0.

    All act on constituents in the frame of their event, decay products included; the event is
    neither centred nor mirrored again. The published smearing came before the frame, which it
    therefore moved a little; here the frame stays.

    Every draw depends on the seed, the event and the number of its copy alone: it is the same in
    every epoch, and more copies leave the first ones as they were.

    Parameters
    ----------
    config : mapping
        ``training.augmentation`` of the study.
    seed : int
        In [0, 2⁶⁴).

    Attributes
    ----------
    kinds, copies : ndarray of int64, shape (n_examples,)
        What each example of an event is, `ORIGINAL` or one of `KINDS`, and the how many-th.
    angles : ndarray of float64, shape (φ-shifted copies,), or None
        Angles of the φ-shifts in rad where they are not random.
    """

    def __init__(self, config: Mapping[str, Any], seed: int) -> None:
        self.seed = seed
        shift = config.get("phi_shift", {})
        examples = [] if shift.get("originals") == "drop" else [(ORIGINAL, 0)]
        for name, kind in KINDS.items():
            examples += [(kind, copy) for copy in range(config.get(name, {}).get("copies", 0))]
        self.kinds, self.copies = np.array(examples, np.int64).reshape(-1, 2).T
        angles = shift.get("angles", "random")
        self.angles = None if angles == "random" else np.deg2rad(angles)

    @property
    def n_examples(self) -> int:
        """Examples of one event in an epoch."""
        return len(self.kinds)

    def words(
        self, kind: int, events: np.ndarray, copies: np.ndarray, places: np.ndarray | int = 0
    ) -> tuple[np.ndarray, ...]:
        """Random words that belong to a place in a copy of an event, see `philox`."""
        return philox((self.seed, 0), (events, copies, places, kind))


def _shift_phi(
    augmentation: Augmentation,
    particles: Particles,
    chosen: np.ndarray,
    events: np.ndarray,
    copies: np.ndarray,
) -> Particles:
    angles = np.zeros(particles.n_events)
    if augmentation.angles is None:
        word, *_ = augmentation.words(PHI_SHIFT, events[chosen], copies[chosen])
        angles[chosen] = np.pi * (2 * uniform(word) - 1)
    else:
        angles[chosen] = augmentation.angles[copies[chosen]]
    return replace(particles, phi=wrap_phi(particles.phi + angles[particles.row]))


def _smear_pt(
    augmentation: Augmentation,
    particles: Particles,
    chosen: np.ndarray,
    events: np.ndarray,
    copies: np.ndarray,
) -> Particles:
    smeared = chosen[particles.row]
    row, place = particles.row[smeared], particles.place[smeared]
    normal, _ = _normals(augmentation.words(PT_SMEAR, events[row], copies[row], place))
    pt = particles.pt.astype(np.float64)
    mean = pt[smeared]
    sigma = np.sqrt(PT_NOISE * mean**2 + PT_STOCHASTIC * mean)
    pt[smeared] = np.maximum(mean + sigma * normal, 0)
    return replace(particles, pt=pt)


def _smear_direction(
    augmentation: Augmentation,
    particles: Particles,
    chosen: np.ndarray,
    events: np.ndarray,
    copies: np.ndarray,
) -> Particles:
    smeared = chosen[particles.row] & (particles.pt > 0)
    row, place = particles.row[smeared], particles.place[smeared]
    normals = _normals(augmentation.words(ETA_PHI_SMEAR, events[row], copies[row], place))
    sigma = np.minimum(DIRECTION_SMEARING / particles.pt[smeared].astype(np.float64), np.pi)
    eta, phi = particles.eta.astype(np.float64), particles.phi.astype(np.float64)
    eta[smeared] += sigma * normals[0]
    phi[smeared] = wrap_phi(phi[smeared] + sigma * normals[1])
    return replace(particles, eta=eta, phi=phi)


CHANGES = {PHI_SHIFT: _shift_phi, PT_SMEAR: _smear_pt, ETA_PHI_SMEAR: _smear_direction}


@dataclass(frozen=True)
class Copies:
    """The example that a batch takes of each of its events.

    Attributes
    ----------
    augmentation : Augmentation
    numbers : ndarray of int64, shape (n,)
        Below ``augmentation.n_examples``.
    """

    augmentation: Augmentation
    numbers: np.ndarray

    def apply(self, particles: Particles, events: np.ndarray) -> Particles:
        """Change the particles of the copies.

        Parameters
        ----------
        particles : Particles
        events : ndarray of int64, shape (n,)
            Number of every event of the batch among all events, to which the draws belong.
        """
        kinds = self.augmentation.kinds[self.numbers]
        copies = self.augmentation.copies[self.numbers]
        for kind, change in CHANGES.items():
            chosen = kinds == kind
            if chosen.any():
                particles = change(self.augmentation, particles, chosen, events, copies)
        return particles
