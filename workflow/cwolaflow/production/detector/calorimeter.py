"""A calorimeter of towers, and the energy flow that combines it with tracks."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cwolaflow.errors import ConfigError
from cwolaflow.production.detector.formula import BinnedFormula
from cwolaflow.production.detector.geometry import log_normal, sum_by
from cwolaflow.production.detector.propagation import StableParticles
from cwolaflow.production.detector.tracking import Tracks


class TowerGrid:
    """Cells in (eta, phi) whose number of phi bins depends on eta.

    Parameters
    ----------
    regions : list of dict
        ``eta_edges`` (a list, or ``first``, ``step`` and ``count`` of equal bins), ``phi_bins``
        over the whole circle, optionally ``mirrored`` (the region also at negative eta). Together
        they cover an interval of eta without gaps or overlaps.
    where : str
        File and key, for error messages.

    Raises
    ------
    ConfigError
        The regions leave a gap or overlap.
    """

    def __init__(self, regions: list[dict], where: str):
        bins = []
        for region in regions:
            edges = _eta_edges(region["eta_edges"])
            sides = [edges, -edges[::-1]] if region.get("mirrored", False) else [edges]
            for side in sides:
                bins += [(low, high, region["phi_bins"]) for low, high in pairwise(side)]
        low, high, phi_bins = (np.array(values) for values in zip(*sorted(bins), strict=True))
        broken = np.flatnonzero(np.abs(low[1:] - high[:-1]) > 1e-6)
        if len(broken):
            raise ConfigError(
                f"{where}: eta bins do not join at {high[broken[0]]:g} and {low[broken[0] + 1]:g}; "
                "give every eta once"
            )
        self.eta_edges = np.append(low, high[-1])
        self.phi_bins = phi_bins.astype(np.int64)
        self._first_cell = np.concatenate([[0], np.cumsum(self.phi_bins)])
        self.cells = int(self._first_cell[-1])

    def cell_of(self, eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
        """Cell number of each direction, -1 outside. Cells are open below and closed above."""
        eta_bin = np.searchsorted(self.eta_edges, eta, side="left") - 1
        outside = (eta_bin < 0) | (eta_bin >= len(self.phi_bins))
        eta_bin = np.where(outside, 0, eta_bin)
        count = self.phi_bins[eta_bin]
        phi_bin = np.ceil((phi + np.pi) / (2 * np.pi) * count).astype(np.int64) - 1
        # phi = -pi is the same direction as the closed upper edge pi.
        return np.where(outside, -1, self._first_cell[eta_bin] + phi_bin % count)

    def edges_of(self, cell: np.ndarray) -> np.ndarray:
        """Edges ``eta_low, eta_high, phi_low, phi_high`` of cells; float64, shape (n, 4)."""
        eta_bin = np.searchsorted(self._first_cell, cell, side="right") - 1
        step = 2 * np.pi / self.phi_bins[eta_bin]
        phi_low = -np.pi + (cell - self._first_cell[eta_bin]) * step
        return np.stack(
            [self.eta_edges[eta_bin], self.eta_edges[eta_bin + 1], phi_low, phi_low + step], axis=1
        )


def _eta_edges(edges: list[float] | dict) -> np.ndarray:
    if isinstance(edges, dict):
        return edges["first"] + edges["step"] * np.arange(edges["count"] + 1)
    return np.array(edges, dtype=np.float64)


@dataclass(frozen=True)
class Calorimeter:
    """Parameters of one calorimeter.

    Parameters
    ----------
    grid : TowerGrid
    energy_min : float
        Of a tower, GeV.
    significance_min : float
        Of a tower's energy, in units of its resolution.
    fraction_default : float
        Share of a particle's energy that is deposited here.
    fraction_by_id : dict
        The same by |PDG id|, for those that differ.
    resolution : BinnedFormula
        Sigma in GeV of ``energy`` at the ``eta`` of the tower's centre.
    """

    grid: TowerGrid
    energy_min: float
    significance_min: float
    fraction_default: float
    fraction_by_id: dict[int, float]
    resolution: BinnedFormula

    def fractions(self, pid: np.ndarray) -> np.ndarray:
        """Share of a particle's energy that this calorimeter sees."""
        result = np.full(len(pid), float(self.fraction_default))
        absolute = np.abs(pid)
        for particle, fraction in self.fraction_by_id.items():
            result[absolute == particle] = fraction
        return result


@dataclass(frozen=True)
class Cells:
    """Cells that at least one particle hit, sorted by event and cell.

    Parameters
    ----------
    event, cell : int64 arrays, shape (n,)
    deposit : float64 array, shape (n,)
        True energy, GeV.
    time : float64 array, shape (n,)
        Mean of c*t weighted with squared energy, mm.
    edges : float64 array, shape (n, 4)
        ``eta_low, eta_high, phi_low, phi_high``.
    fraction : float64 array, shape (n_particles,)
        Share of each stable particle's energy that this calorimeter sees.
    cell_of_particle : int64 array, shape (n_particles,)
        Entry of these arrays that each stable particle hit, -1 for none.
    """

    event: np.ndarray
    cell: np.ndarray
    deposit: np.ndarray
    time: np.ndarray
    edges: np.ndarray
    fraction: np.ndarray
    cell_of_particle: np.ndarray

    @property
    def eta_centre(self) -> np.ndarray:
        """Pseudorapidity of the middle of each cell."""
        return (self.edges[:, 0] + self.edges[:, 1]) / 2


@dataclass(frozen=True)
class Signals:
    """What a calorimeter measured in each of its `Cells`.

    Parameters
    ----------
    energy : float64 array, shape (n,)
        Smeared, 0 below threshold; GeV.
    sigma : float64 array, shape (n,)
        Resolution at the smeared energy, also of cells below threshold; GeV.
    eta, phi : float64 arrays, shape (n,)
        Uniform in the cell.
    """

    energy: np.ndarray
    sigma: np.ndarray
    eta: np.ndarray
    phi: np.ndarray


@dataclass(frozen=True)
class Towers:
    """Cells that at least one particle hit, sorted by event and cell.

    Parameters
    ----------
    event, cell : int64 arrays, shape (n,)
    eta, phi : float64 arrays, shape (n,)
        Uniform in the cell.
    energy : float64 array, shape (n,)
        Smeared, 0 below threshold; GeV.
    track_energy : float64 array, shape (n,)
        Of the tracks that deposit here, GeV.
    neutral_energy : float64 array, shape (n,)
        Of the neutral energy-flow object, 0 for none; GeV.
    time : float64 array, shape (n,)
        Mean of c*t weighted with squared energy, mm.
    edges : float64 array, shape (n, 4)
        ``eta_low, eta_high, phi_low, phi_high``.
    tower_of_particle : int64 array, shape (n_particles,)
        Tower that each stable particle hit, -1 for none.
    """

    event: np.ndarray
    cell: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    energy: np.ndarray
    track_energy: np.ndarray
    neutral_energy: np.ndarray
    time: np.ndarray
    edges: np.ndarray
    tower_of_particle: np.ndarray


def measure(
    particles: StableParticles, tracks: Tracks, calorimeter: Calorimeter, rng: np.random.Generator
) -> tuple[Towers, Tracks]:
    """Deposit, smear and combine with the tracks.

    Parameters
    ----------
    particles : StableParticles
    tracks : Tracks
    calorimeter : Calorimeter
    rng : numpy.random.Generator

    Returns
    -------
    Towers
    Tracks
        The same tracks; those that deposit in a tower without a significant neutral excess have
        their momenta scaled to the best combination of track and tower.
    """
    cells = deposit(particles, calorimeter)
    signals = smear(cells, calorimeter, rng)
    return combine_with_tracks(particles, tracks, calorimeter, cells, signals)


def deposit(particles: StableParticles, calorimeter: Calorimeter) -> Cells:
    """True energy that particles leave in each cell."""
    grid = calorimeter.grid
    fraction = calorimeter.fractions(particles.pid)
    cell = grid.cell_of(particles.eta_exit, particles.phi_exit)
    hit = np.flatnonzero((fraction > 1e-9) & (cell >= 0))
    keys, place = np.unique(particles.event[hit] * grid.cells + cell[hit], return_inverse=True)
    cell_of_particle = np.full(len(particles), -1)
    cell_of_particle[hit] = place
    energy = fraction[hit] * particles.energy[hit]
    time = sum_by(place, energy**2 * particles.exit_time[hit], len(keys))
    weight = sum_by(place, energy**2, len(keys))
    return Cells(
        event=keys // grid.cells,
        cell=keys % grid.cells,
        deposit=sum_by(place, energy, len(keys)),
        time=time / np.where(weight > 0, weight, 1),
        edges=grid.edges_of(keys % grid.cells),
        fraction=fraction,
        cell_of_particle=cell_of_particle,
    )


def smear(cells: Cells, calorimeter: Calorimeter, rng: np.random.Generator) -> Signals:
    """Draw the measured energy and position of each cell, and apply the thresholds."""
    eta = cells.eta_centre
    energy = log_normal(cells.deposit, calorimeter.resolution(eta, energy=cells.deposit), rng)
    sigma = calorimeter.resolution(eta, energy=energy)
    below = (energy < calorimeter.energy_min) | (energy < calorimeter.significance_min * sigma)
    edges = cells.edges
    return Signals(
        energy=np.where(below, 0, energy),
        sigma=sigma,
        eta=rng.uniform(edges[:, 0], edges[:, 1]),
        phi=rng.uniform(edges[:, 2], edges[:, 3]),
    )


def combine_with_tracks(
    particles: StableParticles,
    tracks: Tracks,
    calorimeter: Calorimeter,
    cells: Cells,
    signals: Signals,
) -> tuple[Towers, Tracks]:
    """Energy flow of one calorimeter; see `measure`."""
    count = len(cells.event)
    track_cell = cells.cell_of_particle[tracks.particle]
    track_energy, track_variance = _track_sums(particles, tracks, cells.fraction, track_cell, count)
    factor, neutral = combine(
        signals.energy, signals.sigma, track_energy, track_variance, calorimeter
    )
    scale = np.where(track_cell >= 0, factor[track_cell] if count else 1, 1)
    towers = Towers(
        event=cells.event,
        cell=cells.cell,
        eta=signals.eta,
        phi=signals.phi,
        energy=signals.energy,
        track_energy=track_energy,
        neutral_energy=neutral,
        time=cells.time,
        edges=cells.edges,
        tower_of_particle=cells.cell_of_particle,
    )
    return towers, tracks.scaled(scale)


def _track_sums(
    particles: StableParticles, tracks: Tracks, fraction: np.ndarray, tower: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Track energy and its variance in each tower."""
    energy = tracks.energy(particles)
    held = tower >= 0
    where, energy = tower[held], energy[held]
    variance = (tracks.resolution[held] * energy) ** 2
    seen = fraction[tracks.particle[held]] * energy
    return sum_by(where, seen, count), sum_by(where, variance, count)


def combine(
    energy: np.ndarray,
    sigma: np.ndarray,
    track_energy: np.ndarray,
    track_variance: np.ndarray,
    calorimeter: Calorimeter,
) -> tuple[np.ndarray, np.ndarray]:
    """Energy flow of towers: scale of their tracks, and energy of the neutral object.

    An excess over the tracks that is significant becomes a neutral object and the tracks stay;
    otherwise the tracks take the mean of both measurements, weighted with the inverse variances.

    Parameters
    ----------
    energy, sigma : float64 arrays, shape (n,)
        Of the tower, GeV; ``energy`` is 0 below threshold.
    track_energy, track_variance : float64 arrays, shape (n,)
        Sum over the tracks of the tower, GeV and GeV².
    calorimeter : Calorimeter
        Gives the thresholds.

    Returns
    -------
    tuple of float64 array
        Factor on the pt of the tracks, and neutral energy in GeV (0: none).
    """
    excess = np.maximum(energy - track_energy, 0)
    spread = np.sqrt(track_variance + sigma**2)
    significant = (excess > calorimeter.energy_min) & (
        excess > calorimeter.significance_min * spread
    )
    track_weight = _inverse(track_variance)
    tower_weight = _inverse(sigma**2)
    best = (track_energy * track_weight + energy * tower_weight) * _inverse(
        track_weight + tower_weight
    )
    factor = np.where(significant | (track_energy <= 0), 1, best * _inverse(track_energy))
    return factor, np.where(significant, excess, 0)


def _inverse(values: np.ndarray) -> np.ndarray:
    """1 / values, and 0 where they are not positive."""
    return np.divide(1, values, out=np.zeros(len(values)), where=values > 0)
