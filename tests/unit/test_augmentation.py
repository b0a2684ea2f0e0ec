import numpy as np
import pytest
import torch
from scipy import stats

from cwolaflow.kinematics import wrap_phi
from cwolaflow.representation.augmentation import Augmentation, Copies
from cwolaflow.representation.constituents import Particles
from cwolaflow.representation.rendering import RenderedImages
from cwolaflow.representation.sets import ParticleSets

torch.set_num_threads(1)

RANDOM = {"phi_shift": {"copies": 3, "angles": "random", "originals": "keep"}}
ALL = RANDOM | {"pt_smear": {"copies": 2}, "eta_phi_smear": {"copies": 1}}
IMAGE = {"eta_bins": 40, "phi_bins": 40, "eta_range": (-5, 5)}


def many(n_events=50, n=20, seed=1, pt=None):
    rng = np.random.default_rng(seed)
    row = np.repeat(np.arange(n_events), n)
    return Particles(
        n_events,
        row,
        np.tile(np.arange(n), n_events),
        (rng.exponential(10, len(row)) if pt is None else np.full(len(row), pt)).astype(np.float32),
        rng.uniform(-5, 5, len(row)).astype(np.float32),
        rng.uniform(-3, 3, len(row)).astype(np.float32),
        rng.integers(0, 3, len(row)).astype(np.int8),
    )


def apply(config, number, particles, seed=5, events=None):
    augmentation = Augmentation(config, seed)
    numbers = np.broadcast_to(number, particles.n_events)
    events = np.arange(particles.n_events) if events is None else events
    return Copies(augmentation, numbers).apply(particles, events)


def shift(changed, particles):
    """Angle of every particle, in [-π, π)."""
    return wrap_phi(changed.phi - particles.phi.astype(np.float64))


@pytest.mark.parametrize(
    ("config", "n_examples"),
    [
        (RANDOM, 4),
        ({"phi_shift": RANDOM["phi_shift"] | {"originals": "drop"}}, 3),
        ({"phi_shift": {"copies": 10}}, 11),
        ({"pt_smear": {"copies": 2}}, 3),
        (ALL, 7),
    ],
)
def test_examples_of_an_event(config, n_examples):
    assert Augmentation(config, 1).n_examples == n_examples


def test_the_original_is_left_alone():
    particles = many()
    changed = apply(ALL, 0, particles)
    assert changed is particles
    dropped = {"phi_shift": RANDOM["phi_shift"] | {"originals": "drop"}}
    first_of_both = (apply(dropped, 0, particles).phi, apply(RANDOM, 1, particles).phi)
    np.testing.assert_array_equal(*first_of_both)
    assert not np.array_equal(first_of_both[0], particles.phi)


def test_a_shift_turns_all_of_an_event_by_one_uniform_angle():
    particles = many(n_events=3000, n=3)
    angles = []
    for number in (1, 2, 3):
        changed = apply(RANDOM, number, particles)
        for name in ("row", "place", "pt", "eta", "kind"):
            assert getattr(changed, name) is getattr(particles, name)
        assert ((changed.phi >= -np.pi) & (changed.phi < np.pi)).all()
        angle = shift(changed, particles).reshape(3000, 3)
        np.testing.assert_allclose(wrap_phi(angle - angle[:, :1]), 0, atol=1e-12)
        angles.append(angle[:, 0])
    assert stats.kstest(np.concatenate(angles), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert abs(stats.spearmanr(angles[one], angles[other]).statistic) < 0.06


def test_angles_belong_to_seed_event_and_copy():
    particles = many()
    angle = shift(apply(RANDOM, 2, particles), particles)
    again = apply({"phi_shift": {"copies": 9}, "pt_smear": {"copies": 1}}, 2, particles)
    np.testing.assert_array_equal(shift(again, particles), angle)
    assert not np.isclose(shift(apply(RANDOM, 2, particles, seed=6), particles), angle).any()
    # In a batch of other order and with other copies, an event keeps its angle.
    back = apply(RANDOM, np.where(np.arange(50) % 2, 2, 1), particles, events=np.arange(50)[::-1])
    chosen = particles.row % 2 == 1
    expected = angle.reshape(50, 20)[::-1].ravel()[chosen]
    np.testing.assert_allclose(shift(back, particles)[chosen], expected, atol=1e-12)


def test_fixed_angles_in_degrees():
    config = {"phi_shift": {"copies": 3, "angles": [30, 90, 200], "originals": "keep"}}
    particles = many()
    for number, angle in enumerate([0, 30, 90, -160]):
        changed = apply(config, number, particles)
        np.testing.assert_allclose(shift(changed, particles), np.deg2rad(angle), atol=1e-12)


@pytest.mark.parametrize("pt", [0.5, 5.0, 200.0])
def test_smeared_pt_is_the_clipped_normal_of_the_formula(pt):
    particles = many(n_events=400, n=25, pt=pt)
    changed = apply({"pt_smear": {"copies": 1}}, 1, particles)
    sigma = np.sqrt(0.052 * pt**2 + 1.502 * pt)
    assert changed.pt.min() >= 0
    positive = changed.pt > 0
    assert np.mean(~positive) == pytest.approx(stats.norm.cdf(-pt / sigma), abs=0.02)
    cut = stats.truncnorm(-pt / sigma, np.inf, pt, sigma)
    assert stats.kstest(changed.pt[positive], cut.cdf).pvalue > 0.01
    assert changed.phi is particles.phi
    assert changed.eta is particles.eta


def test_smeared_directions_are_normal_and_wrapped():
    particles = many(n_events=400, n=25, pt=2.0)
    changed = apply({"eta_phi_smear": {"copies": 2}}, 2, particles)
    deta, dphi = changed.eta - particles.eta, shift(changed, particles)
    for moved in (deta, dphi):
        assert stats.kstest(moved, stats.norm(0, 0.05).cdf).pvalue > 0.01
    assert abs(stats.pearsonr(deta, dphi).statistic) < 0.04
    assert ((changed.phi >= -np.pi) & (changed.phi < np.pi)).all()
    assert changed.pt is particles.pt


def test_soft_particles_stay_finite():
    particles = many(pt=1e-30)
    particles.pt[::2] = 0
    changed = apply({"eta_phi_smear": {"copies": 1}}, 1, particles)
    assert np.isfinite([changed.eta, changed.phi]).all()
    np.testing.assert_array_equal(changed.eta[::2], particles.eta[::2])
    assert (apply({"pt_smear": {"copies": 1}}, 1, particles).pt[::2] == 0).all()


def test_kinds_of_copies_draw_independently():
    particles = many(n_events=100, n=50, pt=2.0)
    by_pt = apply(ALL, 4, particles).pt - 2
    again = apply(ALL, 5, particles).pt - 2
    directions = apply(ALL, 6, particles).eta - particles.eta
    inside = (by_pt > -2) & (again > -2)
    for one, other in ((by_pt, again), (by_pt, directions)):
        assert abs(stats.spearmanr(one[inside], other[inside]).statistic) < 0.06


@pytest.fixture
def columns():
    """A tower, a track and a photon of one event, as stored."""
    columns = {
        "pt": np.array([1, 2, 50], np.float32),
        "eta": np.array([0.1, -1.1, 2.1], np.float32),
        "phi": np.array([0.1, 3.0, -0.3], np.float32),
        "kind": np.array([0, 1, 2], np.int8),
    }
    return np.array([0, 3]), columns


def test_images_are_shifted_before_they_have_pixels(columns):
    quarter = {"phi_shift": {"copies": 2, "angles": [90, 4], "originals": "keep"}}
    augmentation = Augmentation(quarter, 1)
    images = RenderedImages(*columns, "with", **IMAGE)
    event = torch.tensor([0, 0, 0])
    original, turned, little = images.batch(event, Copies(augmentation, np.arange(3)))[0]
    assert torch.equal(original, images.batch(event[:1])[0][0])
    # A quarter is ten columns; four degrees move the tower and not the others over an edge.
    assert torch.equal(turned, original.roll(10, dims=-1))
    assert little[0].argmax() == original[0].argmax() + 1
    assert little[2].argmax() == original[2].argmax()


def test_a_set_is_shifted_before_its_decay_products_are_removed():
    # The tower lies within the window of the photon, until the shift puts the seam between them.
    columns = {
        "pt": np.array([1, 9, 50], np.float32),
        "eta": np.zeros(3, np.float32),
        "phi": np.array([0.0, 1.02, 0.98], np.float32),
        "kind": np.array([0, 0, 2], np.int8),
    }
    sets = ParticleSets(np.array([0, 3]), columns, "without")
    angle = 180 - np.rad2deg(1.0)
    config = {"phi_shift": {"copies": 1, "angles": [angle], "originals": "keep"}}
    numbers = np.arange(2)
    features, mask = sets.batch(torch.tensor([0, 0]), Copies(Augmentation(config, 1), numbers))
    assert mask.sum(1).tolist() == [1, 2]
    # With two towers left their pT is standardised over both.
    np.testing.assert_allclose(features[1, :, 0], [-1, 1])
    np.testing.assert_allclose(features[1, 1, 2], 1.02 + np.deg2rad(angle) - 2 * np.pi, atol=1e-6)
