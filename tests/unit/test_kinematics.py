import awkward as ak
import numpy as np
import pytest
import vector
from hypothesis import given
from hypothesis import strategies as st

from cwolaflow.kinematics import delta_phi, dijet, transverse_energy_within, wrap_phi


@given(st.floats(-1e6, 1e6))
def test_wrap_phi_is_the_same_direction_in_range(phi):
    wrapped = float(wrap_phi(phi))
    assert -np.pi <= wrapped < np.pi
    assert np.cos(wrapped) == pytest.approx(np.cos(phi), abs=1e-9)
    assert np.sin(wrapped) == pytest.approx(np.sin(phi), abs=1e-9)


@given(st.floats(-np.pi, np.pi, exclude_max=True))
def test_wrap_phi_leaves_angles_in_range(phi):
    assert float(wrap_phi(phi)) == phi


@pytest.mark.parametrize(
    ("phi", "expected"),
    [
        (np.pi, -np.pi),
        (-np.pi, -np.pi),
        (3 * np.pi, -np.pi),
        (np.nextafter(np.pi, 0), np.nextafter(np.pi, 0)),
        (4.0, 4.0 - 2 * np.pi),
        (-4.0, 2 * np.pi - 4.0),
        (0.0, 0.0),
    ],
)
def test_wrap_phi_at_the_ends(phi, expected):
    assert float(wrap_phi(phi)) == expected


def test_wrap_phi_just_below_minus_pi_is_in_range():
    for steps in range(1, 50):
        phi = -np.pi * (1 + steps * np.finfo(float).eps)
        assert -np.pi <= float(wrap_phi(phi)) < np.pi


def test_wrap_phi_keeps_lists_and_nan():
    wrapped = wrap_phi(ak.Array([[4.0, np.nan], [], [1.0]]))
    assert ak.num(wrapped).to_list() == [2, 0, 1]
    assert np.isnan(wrapped[0, 1])


def test_delta_phi_across_the_cut():
    assert delta_phi(np.float32(3.0), np.float32(-3.0)) == pytest.approx(6 - 2 * np.pi)


def _random_jets(seed, n=500):
    rng = np.random.default_rng(seed)
    return {
        "pt": rng.uniform(20, 2000, n),
        "eta": rng.uniform(-4.7, 4.7, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "mass": rng.uniform(0, 60, n),
    }


def _cartesian(jet):
    px, py = jet["pt"] * np.cos(jet["phi"]), jet["pt"] * np.sin(jet["phi"])
    pz = jet["pt"] * np.sinh(jet["eta"])
    return np.sqrt(px**2 + py**2 + pz**2 + jet["mass"] ** 2), px, py, pz


def test_dijet_against_components():
    first, second = _random_jets(1), _random_jets(2)
    mass, phi = dijet(vector.array(first), vector.array(second))
    e, px, py, pz = (a + b for a, b in zip(_cartesian(first), _cartesian(second), strict=True))
    np.testing.assert_allclose(mass, np.sqrt(e**2 - px**2 - py**2 - pz**2), rtol=1e-7)
    np.testing.assert_allclose(phi, np.arctan2(py, px), rtol=1e-9)


def test_dijet_of_massless_jets_in_closed_form():
    first, second = ({**_random_jets(seed), "mass": np.zeros(500)} for seed in (3, 4))
    mass, _ = dijet(vector.array(first), vector.array(second))
    opening = np.cosh(first["eta"] - second["eta"]) - np.cos(first["phi"] - second["phi"])
    np.testing.assert_allclose(mass, np.sqrt(2 * first["pt"] * second["pt"] * opening), rtol=1e-6)


def test_transverse_energy_by_hand():
    et = ak.values_astype(ak.Array([[10, 20, 40], [], [5]]), np.float32)
    eta = ak.values_astype(ak.Array([[0.5, -1.27, 6.0], [], [-1.0]]), np.float32)
    sums = transverse_energy_within(et, eta, np.array([1, 1.27, 1.53]))
    # Towers at 1.27 and at -1 sit on a limit and count only from the next one on.
    np.testing.assert_array_equal(sums, [[10, 10, 30], [0, 0, 0], [0, 5, 5]])


def test_transverse_energy_against_one_mask_per_limit():
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 60, 200)
    et = ak.unflatten(rng.exponential(5, counts.sum()).astype(np.float32), counts)
    eta = ak.unflatten(rng.uniform(-5.5, 5.5, counts.sum()).astype(np.float32), counts)
    limits = np.array([1.0, 2.5, 5.0])
    sums = transverse_energy_within(et, eta, limits)
    for i, limit in enumerate(limits):
        np.testing.assert_allclose(sums[:, i], ak.sum(et[abs(eta) < limit], axis=1), rtol=1e-5)
