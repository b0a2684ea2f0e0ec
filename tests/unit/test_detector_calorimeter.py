import dataclasses

import numpy as np
import pytest
from detector_events import CARD, make_events, particle, toy_events
from scipy.optimize import brentq

from cwolaflow.errors import ConfigError
from cwolaflow.production.detector import read_card
from cwolaflow.production.detector.calorimeter import (
    Signals,
    TowerGrid,
    combine,
    combine_with_tracks,
    deposit,
    measure,
)
from cwolaflow.production.detector.formula import BinnedFormula
from cwolaflow.production.detector.propagation import propagate
from cwolaflow.production.detector.tracking import Tracks, reconstruct_tracks


@pytest.fixture(scope="module")
def card():
    return read_card(CARD)


def no_tracks():
    none = np.zeros(0, np.int64)
    return Tracks(none, none, np.zeros(0), np.zeros(0))


def stable(card, events):
    return propagate(events, card.settings["particles"], card.settings["propagation"])


def exact(calorimeter):
    """The same calorimeter with a negligible resolution and no thresholds."""
    fine = BinnedFormula([{"abs_eta": [0, 5], "value": "1e-9*energy"}], ("energy", "eta"), "test")
    return dataclasses.replace(calorimeter, energy_min=0.0, significance_min=0.0, resolution=fine)


def test_grids(card):
    ecal, hcal = (card.calorimeters[name].grid for name in ("ecal", "hcal"))
    assert len(ecal.phi_bins) == 362
    assert ecal.cells == 340 * 360 + 22 * 36
    assert len(hcal.phi_bins) == 80
    assert hcal.cells == 2 * (19 * 72 + 19 * 36 + 2 * 18)
    for grid in (ecal, hcal):
        np.testing.assert_allclose(grid.eta_edges, -grid.eta_edges[::-1], atol=1e-12)
        assert grid.eta_edges[-1] == 5


def test_cells_are_open_below_and_closed_above(card):
    grid = card.calorimeters["hcal"].grid
    low, high, phi_low, phi_high = grid.edges_of(grid.cell_of(np.array([0.05]), np.array([0.05])))[
        0
    ]
    np.testing.assert_allclose([low, high], [0, 0.087], atol=1e-12)
    np.testing.assert_allclose([phi_low, phi_high], [0, np.pi / 36], atol=1e-12)
    inside = grid.cell_of(np.array([0.05, high, low, 0.05]), np.array([0.05, 0.05, 0.05, -0.01]))
    assert inside[0] == inside[1]
    assert inside[0] != inside[2]
    assert inside[0] != inside[3]


def test_cell_holds_its_direction(card):
    rng = np.random.default_rng(1)
    eta, phi = rng.uniform(-5, 5, 2000), rng.uniform(-np.pi, np.pi, 2000)
    for calorimeter in card.calorimeters.values():
        edges = calorimeter.grid.edges_of(calorimeter.grid.cell_of(eta, phi))
        assert np.all((edges[:, 0] < eta) & (eta <= edges[:, 1]))
        assert np.all((edges[:, 2] < phi + 1e-12) & (phi <= edges[:, 3] + 1e-12))


def test_outside_and_seam(card):
    grid = card.calorimeters["ecal"].grid
    cells = grid.cell_of(np.array([5.001, -5.0, 5.0, 1.0, 1.0]), np.array([0, 0, 0, np.pi, -np.pi]))
    assert list(cells[:2]) == [-1, -1]
    assert cells[2] >= 0
    assert cells[3] == cells[4]


def test_gap_in_the_grid_is_an_error():
    with pytest.raises(ConfigError, match=r"eta bins do not join at 1 and 1\.5"):
        TowerGrid(
            [{"eta_edges": [0, 1], "phi_bins": 4}, {"eta_edges": [1.5, 2], "phi_bins": 4}], "card"
        )


@pytest.mark.parametrize(
    ("name", "eta", "sigma"),
    [("ecal", 0.0087, 0.96182), ("ecal", 2.0, 2.07742), ("hcal", 0.5, 10.89725)],
)
def test_resolution_at_50_gev(card, name, eta, sigma):
    found = card.calorimeters[name].resolution(np.array([eta]), energy=np.array([50.0]))
    assert found[0] == pytest.approx(sigma, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "eta", "threshold"),
    [
        ("ecal", 0, 0.825),
        ("ecal", 1, 1.38),
        ("ecal", 1.49, 2.09),
        ("ecal", 1.51, 3.12),
        ("ecal", 2, 1.85),
        ("ecal", 2.49, 3.12),
        ("ecal", 4, 18.14),
        ("hcal", 1, 2.256),
        ("hcal", 4, 7.415),
    ],
)
def test_effective_threshold(card, name, eta, threshold):
    calorimeter = card.calorimeters[name]

    def margin(energy):
        sigma = calorimeter.resolution(np.array([float(eta)]), energy=np.array([energy]))[0]
        return energy - calorimeter.significance_min * sigma

    assert brentq(margin, 0.1, 100) == pytest.approx(threshold, rel=3e-3)


def test_energy_flow_of_one_hadron(card):
    # E, E_trk, s, sig_trk -> factor on the track and neutral energy, worked out by hand.
    cases = np.array(
        [
            [12, 10, 5.23068, 0.61392, 1.002718, 0],
            [8, 10, 4.26146, 0.61392, 0.995934, 0],
            [30, 10, 8.35165, 0.61392, 1, 20],
            [0, 2, 2.01447, 0.12011, 0.996457, 0],
            [5, 0, 2.0, 0, 1, 5],
            [0, 0, 2.0, 0, 1, 0],
        ]
    )
    energy, track_energy, sigma, track_sigma, factor, neutral = cases.T
    found = combine(energy, sigma, track_energy, track_sigma**2, card.calorimeters["hcal"])
    np.testing.assert_allclose(found[0], factor, atol=1e-6)
    np.testing.assert_allclose(found[1], neutral, atol=1e-6)


def test_resolution_without_a_track_error_takes_the_tower(card):
    factor, _ = combine(
        np.array([9.0]),
        np.array([3.0]),
        np.array([10.0]),
        np.array([0.0]),
        card.calorimeters["hcal"],
    )
    assert factor[0] == pytest.approx(0.9)


def test_exact_calorimeters_conserve_energy(card):
    particles = stable(card, toy_events(20, seed=5))
    inside = np.abs(particles.eta_exit) < 5
    for name in ("ecal", "hcal"):
        calorimeter = exact(card.calorimeters[name])
        towers, _ = measure(particles, no_tracks(), calorimeter, np.random.default_rng(1))
        deposited = calorimeter.fractions(particles.pid) * particles.energy * inside
        for event in range(20):
            assert towers.energy[towers.event == event].sum() == pytest.approx(
                deposited[particles.event == event].sum(), rel=1e-6
            )
        np.testing.assert_allclose(towers.neutral_energy, towers.energy)


def test_exact_energy_flow_counts_nothing_twice(card):
    particles = stable(card, toy_events(20, seed=6))
    tracks = reconstruct_tracks(particles, card.tracking, np.random.default_rng(2))
    true_tracks = dataclasses.replace(tracks, pt=particles.pt[tracks.particle])
    calorimeter = dataclasses.replace(exact(card.calorimeters["hcal"]), energy_min=1e-3)
    towers, flow = measure(particles, true_tracks, calorimeter, np.random.default_rng(3))
    np.testing.assert_allclose(
        towers.neutral_energy + towers.track_energy, towers.energy, rtol=1e-3, atol=1e-3
    )
    held = calorimeter.fractions(particles.pid[flow.particle]) > 0
    np.testing.assert_allclose(flow.pt[~held], true_tracks.pt[~held])


def test_deposits_share_a_cell_only_within_an_event(card):
    near = [particle(22, 20.0, eta=0.01, phi=0.005), particle(22, 30.0, eta=0.012, phi=0.006)]
    particles = stable(card, make_events(near, near))
    towers, _ = measure(
        particles, no_tracks(), exact(card.calorimeters["ecal"]), np.random.default_rng(1)
    )
    np.testing.assert_array_equal(towers.event, [0, 1])
    np.testing.assert_allclose(towers.energy, particles.energy.reshape(2, 2).sum(axis=1))
    np.testing.assert_array_equal(towers.tower_of_particle, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("pid", "ecal", "hcal"),
    [
        (22, 1, 0), (11, 1, 0), (-11, 1, 0), (211, 0, 1), (130, 0, 1), (2112, 0, 1), (310, 0.3, 0.7),
        (-3122, 0.3, 0.7), (13, 0, 0), (14, 0, 0), (1000022, 0, 0), (1000039, 0, 1),
    ],
)  # fmt: skip
def test_energy_fractions(card, pid, ecal, hcal):
    found = [card.calorimeters[name].fractions(np.array([pid]))[0] for name in ("ecal", "hcal")]
    assert found == [ecal, hcal]


def test_towers_point_into_their_cells_uniformly(card):
    count = 5000
    particles = stable(card, make_events(*[[particle(130, 50.0, eta=0.03, phi=0.03)]] * count))
    towers, _ = measure(particles, no_tracks(), card.calorimeters["hcal"], np.random.default_rng(4))
    for value, low, high in (
        (towers.eta, towers.edges[:, 0], towers.edges[:, 1]),
        (towers.phi, towers.edges[:, 2], towers.edges[:, 3]),
    ):
        place = (value - low) / (high - low)
        assert np.all((place >= 0) & (place <= 1))
        assert place.mean() == pytest.approx(0.5, abs=0.02)
        assert place.std() == pytest.approx(1 / np.sqrt(12), abs=0.01)


class FixedNormal:
    """A generator whose normal draws are all the same; positions are the cell's centre."""

    def __init__(self, normal):
        self.normal = normal

    def standard_normal(self, count):
        return np.full(count, self.normal)

    def uniform(self, low, high):
        return (low + high) / 2


@pytest.mark.parametrize(("smeared", "kept"), [(0.828, True), (0.824, False)])
def test_significance_is_judged_at_the_smeared_energy(card, smeared, kept):
    # sigma(1 GeV) = 0.41486: 0.828 would fail 2 sigma there, sigma(0.828) = 0.41238 lets it pass.
    spread = np.sqrt(np.log1p(0.414855**2))
    normal = np.log(smeared) / spread + spread / 2
    particles = stable(card, make_events([particle(22, 1.0, eta=0.005)]))
    towers, _ = measure(particles, no_tracks(), card.calorimeters["ecal"], FixedNormal(normal))
    assert towers.energy[0] == (pytest.approx(smeared, rel=1e-4) if kept else 0)


def test_track_takes_the_combined_momentum(card):
    particles = stable(card, make_events([particle(211, 10.0, eta=0.02, m=0.14)]))
    one = np.array([0])
    tracks = Tracks(one, one, np.array([10.0]), np.array([0.0614]))
    towers, flow = measure(particles, tracks, card.calorimeters["hcal"], FixedNormal(0.0))
    sigma = np.sqrt((0.05 * 10) ** 2 + 1.5**2 * 10)
    energy = 10 / np.sqrt(1 + (sigma / 10) ** 2)  # the median of the log-normal
    s = np.sqrt((0.05 * energy) ** 2 + 1.5**2 * energy)
    weights = np.array([1 / 0.614**2, 1 / s**2])
    best = np.average([10, energy], weights=weights)
    assert towers.energy[0] == pytest.approx(energy, rel=1e-3)
    assert flow.pt[0] == pytest.approx(best, rel=1e-3)
    assert towers.neutral_energy[0] == 0
    assert towers.track_energy[0] == pytest.approx(tracks.energy(particles)[0])


@pytest.mark.parametrize(("energy", "pt", "neutral"), [(30.0, 10.0, 20.0), (8.0, 9.95934, 0.0)])
def test_energy_flow_of_energies_that_were_measured_elsewhere(card, energy, pt, neutral):
    particles = stable(card, make_events([particle(211, 10.0, eta=0.0, m=0.0)]))
    one = np.array([0])
    tracks = Tracks(one, one, np.array([10.0]), np.array([0.061392]))
    hcal = card.calorimeters["hcal"]
    cells = deposit(particles, hcal)
    assert cells.deposit[0] == pytest.approx(10)
    measured = np.array([energy])
    signals = Signals(
        measured, hcal.resolution(cells.eta_centre, energy=measured), np.zeros(1), np.zeros(1)
    )
    towers, flow = combine_with_tracks(particles, tracks, hcal, cells, signals)
    assert towers.neutral_energy[0] == pytest.approx(neutral)
    assert flow.pt[0] == pytest.approx(pt, rel=1e-5)
