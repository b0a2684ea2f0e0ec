"""Tracks: efficiency and momentum resolution of charged particles."""

from dataclasses import dataclass, replace

import numpy as np

from cwolaflow.production.detector.formula import BinnedFormula
from cwolaflow.production.detector.geometry import log_normal
from cwolaflow.production.detector.propagation import StableParticles

TRACK_CLASSES = ("charged_hadron", "electron", "muon")


@dataclass(frozen=True)
class Tracks:
    """Reconstructed tracks, by event and, within it, in the order of `TRACK_CLASSES`.

    Parameters
    ----------
    particle : int64 array
        Index into the `StableParticles`.
    species : int64 array
        Index into `TRACK_CLASSES`.
    pt : float64 array
        Smeared, GeV; direction and mass are those of the particle.
    resolution : float64 array
        Relative resolution of pt at the generated momentum.
    """

    particle: np.ndarray
    species: np.ndarray
    pt: np.ndarray
    resolution: np.ndarray

    def __len__(self) -> int:
        """Number of tracks."""
        return len(self.particle)

    def energy(self, particles: StableParticles) -> np.ndarray:
        """Energy with the smeared momentum, GeV."""
        momentum = self.pt * np.cosh(particles.eta[self.particle])
        return np.hypot(momentum, particles.mass[self.particle])

    def scaled(self, factor: np.ndarray) -> "Tracks":
        """The same tracks with pt times ``factor``."""
        return replace(self, pt=self.pt * factor)


@dataclass(frozen=True)
class TrackingTable:
    """Efficiency and relative momentum resolution of one class of tracks."""

    efficiency: BinnedFormula
    resolution: BinnedFormula


def species_of(pid: np.ndarray) -> np.ndarray:
    """Index into `TRACK_CLASSES` of charged particles."""
    absolute = np.abs(pid)
    return np.where(absolute == 11, 1, np.where(absolute == 13, 2, 0))


def reconstruct_tracks(
    particles: StableParticles, tables: dict[str, TrackingTable], rng: np.random.Generator
) -> Tracks:
    """Draw which charged particles give a track, and their measured momenta.

    Parameters
    ----------
    particles : StableParticles
    tables : dict
        `TrackingTable` by name in `TRACK_CLASSES`.
    rng : numpy.random.Generator
    """
    charged = np.flatnonzero(particles.charge != 0)
    species = species_of(particles.pid[charged])
    eta, pt = particles.eta_exit[charged], particles.pt[charged]
    efficiency, resolution = np.zeros(len(charged)), np.zeros(len(charged))
    for number, name in enumerate(TRACK_CLASSES):
        mine = species == number
        efficiency[mine] = tables[name].efficiency(eta[mine], pt=pt[mine])
        resolution[mine] = tables[name].resolution(eta[mine], pt=pt[mine])
    found = np.flatnonzero(rng.random(len(charged)) < efficiency)
    found = found[np.lexsort((species[found], particles.event[charged[found]]))]
    resolution = np.minimum(resolution[found], 1)
    return Tracks(
        particle=charged[found],
        species=species[found],
        pt=log_normal(pt[found], resolution * pt[found], rng),
        resolution=resolution,
    )
