import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from published_events import N_SLOTS, preprocess, random_events, wrap

from cwolaflow.kinematics import wrap_phi
from cwolaflow.representation.preprocessing import centroid_frame

NUMBERS = st.integers(0, 10**6)
PARTICLE = st.tuples(
    st.one_of(st.just(0.0), st.floats(1e-3, 1e4)),
    st.one_of(st.just(0.0), st.floats(-6, 6)),
    st.one_of(st.sampled_from([0.0, -np.pi, np.pi, 3.1415]), st.floats(-np.pi, np.pi)),
)


def frame(event, slots=None):
    """η and φ of one event, given as lists of pT, η and φ."""
    pt, eta, phi = np.asarray(event, np.float64)
    return centroid_frame(np.zeros(len(pt), int), pt, eta, phi, 1, slots)


def narrow_event(seed, n=30, half_width=0.3):
    rng = np.random.default_rng(seed)
    return rng.exponential(10, n), rng.uniform(-5, 5, n), rng.uniform(-half_width, half_width, n)


def test_centre_and_mirror_by_hand():
    # Σ pT φ / Σ pT = (0.3 + 0.5) / 4 = 0.2; the 3 GeV then are at (η > 0, φ < 0): φ changes sign.
    eta, phi = frame([[3, 1], [1, -2], [0.1, 0.5]])
    np.testing.assert_allclose(eta, [1, -2])
    np.testing.assert_allclose(phi, [0.1, -0.3], atol=1e-8)


@pytest.mark.parametrize(
    ("eta", "phi", "signs"),
    [(1, 1, (1, 1)), (1, -1, (1, -1)), (-1, -1, (-1, -1)), (-1, 1, (-1, 1))],
)
def test_each_quadrant_is_mirrored_to_the_first(eta, phi, signs):
    # A hard particle at (η, φ) and two soft ones that bring the mean back to φ = 0.
    got = frame([[4, 2, 2], [eta, 0, 0], [0.1 * phi, -0.1 * phi, -0.1 * phi]])
    np.testing.assert_allclose(got[0], [eta * signs[0], 0, 0])
    np.testing.assert_allclose(got[1], np.array([0.1, -0.1, -0.1]) * phi * signs[1], atol=1e-8)


def test_of_equal_quadrants_the_first_counts():
    eta, phi = frame([[1, 1], [-1, 1], [0.1, -0.1]])
    np.testing.assert_allclose((eta, phi), [[-1, 1], [-0.1, 0.1]], atol=1e-8)


def test_shift_by_pi_is_decided_over_all_slots():
    event = [[1, 1], [1, -1], [3.0, -3.0]]
    # Over the two constituents the variance is 9: shifted, they are 0.28 apart at φ = 0.
    for slots in (None, 2):
        _, phi = frame(event, slots)
        np.testing.assert_allclose(np.sort(phi), [3 - np.pi, np.pi - 3], atol=1e-7)
    # Of 40 slots, 38 are empty: 18 / 40 = 0.45, and the pair stays across the seam.
    _, phi = frame(event, 40)
    np.testing.assert_allclose(np.sort(phi), [-3, 3])
    # Of 35: 18 / 35 = 0.51.
    _, phi = frame(event, 35)
    assert np.abs(phi).max() < 0.2


@pytest.mark.parametrize("slots", [None, *N_SLOTS.values()])
def test_as_published_event_by_event(slots):
    _, events = random_events(200, 1)
    rows = np.repeat(np.arange(200), [len(event) for event in events])
    pt, eta, phi, _ = np.concatenate(events).T
    shuffled = np.random.default_rng(2).permutation(len(rows))
    got = np.empty((2, len(rows)))
    got[:, shuffled] = centroid_frame(
        rows[shuffled], pt[shuffled], eta[shuffled], phi[shuffled], 200, slots
    )
    expected = np.concatenate([preprocess(event, slots) for event in events]).T
    np.testing.assert_array_equal(got[0], expected[1])
    np.testing.assert_allclose(got[1], expected[2], atol=1e-12)
    shifted = [np.var([p[2] for p in e] + [0.0] * ((slots or len(e)) - len(e))) for e in events]
    assert 0 < np.sum(np.array(shifted) > 0.5) < 200


@given(NUMBERS, st.floats(-np.pi, np.pi))
def test_rotation_of_a_narrow_event_does_not_matter(seed, angle):
    pt, eta, phi = narrow_event(seed)
    upright = frame([pt, eta, phi])
    turned = frame([pt, eta, wrap(phi + angle)])
    np.testing.assert_allclose(turned, upright, atol=1e-7)


def test_the_published_variance_breaks_rotation_for_events_with_few_constituents():
    pt, eta, phi = narrow_event(3, n=10)
    upright = frame([pt, eta, phi], N_SLOTS["photons"])
    for angle in (1.0, -2.0):
        np.testing.assert_allclose(
            frame([pt, eta, wrap(phi + angle)], N_SLOTS["photons"]), upright, atol=1e-7
        )
    across_the_seam = frame([pt, eta, wrap(phi + np.pi)], N_SLOTS["photons"])
    assert np.average(upright[1], weights=pt) == pytest.approx(0, abs=1e-6)
    assert np.average(across_the_seam[1], weights=pt) > 0.5


@given(NUMBERS)
def test_reflections_do_not_matter(seed):
    pt, eta, phi = narrow_event(seed)
    upright = frame([pt, eta, phi])
    np.testing.assert_allclose(frame([pt, -eta, phi]), upright, atol=1e-12)
    np.testing.assert_allclose(frame([pt, eta, -phi]), upright, atol=1e-12)


@given(st.lists(PARTICLE, min_size=1, max_size=8), st.sampled_from([None, 8, 402]))
def test_any_event_keeps_its_angles(event, slots):
    pt, eta, phi = np.array(event).T
    got_eta, got_phi = frame([pt, eta, phi], slots)
    assert np.isfinite(got_phi).all()
    assert ((got_phi >= -np.pi) & (got_phi < np.pi)).all()
    np.testing.assert_array_equal(np.abs(got_eta), np.abs(eta))
    assume(pt.sum() > 0)
    between = np.abs(wrap_phi(got_phi[:, None] - got_phi))
    expected = np.abs(wrap_phi(phi[:, None] - phi))
    near_pi = 2 * np.pi - np.abs(between) - expected
    np.testing.assert_allclose(
        np.minimum(np.abs(between - expected), np.abs(near_pi)), 0, atol=1e-9
    )
    for eta_sign, phi_sign in ((1, -1), (-1, -1), (-1, 1)):
        quadrant = pt[(got_eta * eta_sign > 0) & (got_phi * phi_sign > 0)].sum()
        assert quadrant <= pt[(got_eta > 0) & (got_phi > 0)].sum() * (1 + 1e-12)


def test_no_events_and_events_without_constituents():
    eta, phi = centroid_frame(np.zeros(0, int), *np.zeros((3, 0)), n_events=0, slots=5)
    assert eta.shape == phi.shape == (0,)
    eta, phi = centroid_frame(np.array([1]), *np.ones((3, 1)), n_events=3)
    np.testing.assert_allclose((eta, phi), [[1], [0]], atol=1e-7)
