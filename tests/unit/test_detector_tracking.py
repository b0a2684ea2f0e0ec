import numpy as np
import pytest
from detector_events import CARD, make_events, particle

from cwolaflow.production.detector import read_card
from cwolaflow.production.detector.geometry import log_normal
from cwolaflow.production.detector.propagation import propagate
from cwolaflow.production.detector.tracking import reconstruct_tracks


@pytest.fixture(scope="module")
def card():
    return read_card(CARD)


def tracks_of(card, entry, count=20000, seed=1):
    event = [entry] * count
    particles = propagate(
        make_events(event), card.settings["particles"], card.settings["propagation"]
    )
    return particles, reconstruct_tracks(particles, card.tracking, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("pid", "pt", "eta", "efficiency"),
    [
        (211, 5.0, 1.0, 0.95),
        (-211, 0.9, 0.1, 0.70),
        (2212, 5.0, 2.0, 0.85),
        (11, 5.0, 1.0, 0.95),
        (11, 150.0, 1.0, 0.99),
        (-11, 150.0, 2.0, 0.90),
        (13, 30.0, 1.0, 0.99),
        (13, 30.0, 2.3, 0.98),
        (13, 2000.0, 1.0, 0.99 * np.exp(-0.5)),
    ],
)
def test_efficiency(card, pid, pt, eta, efficiency):
    _, tracks = tracks_of(card, particle(pid, pt, eta=eta, m=0.1))
    sigma = np.sqrt(efficiency * (1 - efficiency) / 20000)
    assert len(tracks) / 20000 == pytest.approx(efficiency, abs=4.5 * sigma)


@pytest.mark.parametrize(
    "entry",
    [
        particle(22, 5.0),
        particle(211, 5.0, eta=2.6, m=0.14),
        particle(211, 0.5, eta=0.5, m=0.14),  # loops, leaves at |eta| > 2.5
        particle(12, 5.0),
    ],
)
def test_no_track(card, entry):
    _, tracks = tracks_of(card, entry, count=200)
    assert len(tracks) == 0


@pytest.mark.parametrize(
    ("pid", "pt", "eta", "resolution"),
    [
        (211, 10.0, 0.2, np.hypot(0.06, 0.013)),
        (211, 10.0, 2.0, np.hypot(0.25, 0.031)),
        (11, 40.0, 1.0, np.hypot(0.05, 0.068)),
        (13, 100.0, 0.2, np.hypot(0.01, 0.01)),
        (13, 10000.0, 2.0, 1.0),  # capped
    ],
)
def test_momentum_is_log_normal(card, pid, pt, eta, resolution):
    particles, tracks = tracks_of(card, particle(pid, pt, eta=eta, m=0.1))
    width = np.sqrt(np.log1p(resolution**2))
    pull = (np.log(tracks.pt / pt) + width**2 / 2) / width
    assert pull.mean() == pytest.approx(0, abs=4.5 / np.sqrt(len(pull)))
    assert pull.std() == pytest.approx(1, abs=4.5 / np.sqrt(2 * len(pull)))
    np.testing.assert_allclose(tracks.resolution, resolution)
    energy = np.hypot(tracks.pt * np.cosh(particles.eta[tracks.particle]), 0.1)
    np.testing.assert_allclose(tracks.energy(particles), energy)


def test_log_normal_has_the_mean_and_deviation_asked_for():
    # b = 0.1980422, a = 2.2829747 for mean 10, deviation 2.
    class OneSigma:
        def standard_normal(self, count):
            return np.array([0.0, 1.0, 1.0])[:count]

    drawn = log_normal(np.array([10.0, 10.0, 0.0]), np.array([2.0, 2.0, 1.0]), OneSigma())
    np.testing.assert_allclose(
        drawn, [np.exp(2.2829747), np.exp(2.2829747 + 0.1980422), 0], rtol=1e-6
    )
    many = log_normal(np.full(200000, 10.0), np.full(200000, 2.0), np.random.default_rng(2))
    assert many.mean() == pytest.approx(10, abs=0.02)
    assert many.std() == pytest.approx(2, abs=0.03)


def test_tracks_come_as_hadrons_electrons_muons(card):
    entries = [particle(pid, 50.0, m=0.1, phi=0.1 * k) for k, pid in enumerate([13, 11, 211] * 3)]
    particles = propagate(
        make_events(entries, entries), card.settings["particles"], card.settings["propagation"]
    )
    tracks = reconstruct_tracks(particles, card.tracking, np.random.default_rng(0))
    order = 10 * particles.event[tracks.particle] + tracks.species
    assert np.all(np.diff(order) >= 0)
    assert set(tracks.species) == {0, 1, 2}
