"""Kinematics of columns: angles, dijets and sums of transverse energy.

Everything is computed in double precision from what Delphes stores in single precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

# Angles need neither, and are all that a training takes from here.
if TYPE_CHECKING:
    import awkward as ak
    import vector

TWO_PI = np.float64(2 * np.pi)


def wrap_phi(phi):
    """Bring azimuthal angles to [−π, π).

    Parameters
    ----------
    phi : float, array_like or ak.Array
        Angles in rad, any shape; |φ| up to about 10⁶ keeps its meaning.

    Returns
    -------
    np.ndarray or ak.Array of float64
        Same shape. Angles inside the range come back unchanged, NaN as NaN.
    """
    wrapped = phi - TWO_PI * np.floor((phi + np.float64(np.pi)) / TWO_PI)
    # The subtraction rounds, so its result can lie on or just past either end.
    return wrapped - TWO_PI * (wrapped >= np.pi) + TWO_PI * (wrapped < -np.pi)


def delta_phi(phi_a, phi_b):
    """Azimuthal angle φ_a − φ_b in rad, wrapped to [−π, π).

    Parameters
    ----------
    phi_a, phi_b : array_like or ak.Array
        Angles in rad that broadcast against each other.
    """
    return wrap_phi(np.float64(1) * phi_a - phi_b)


def dijet(jet1: vector.VectorNumpy4D, jet2: vector.VectorNumpy4D) -> tuple[np.ndarray, np.ndarray]:
    """Invariant mass and azimuth of pairs of jets.

    Parameters
    ----------
    jet1, jet2 : vector.VectorNumpy4D, shape (n,)
        Momenta in GeV, one pair an event.

    Returns
    -------
    mass : np.ndarray of float64, shape (n,)
        Of j1 + j2, in GeV.
    phi : np.ndarray of float64, shape (n,)
        Of j1 + j2, in rad, in [−π, π).
    """
    pair = jet1 + jet2
    return pair.mass, wrap_phi(pair.phi)


def transverse_energy_within(et: ak.Array, eta: ak.Array, eta_max: np.ndarray) -> np.ndarray:
    r"""H_T(η_C) = Σ E_T of the towers with \|η\| < η_C (arXiv:2008.05434).

    Parameters
    ----------
    et, eta : ak.Array, type n * var * float32
        Transverse energies in GeV and pseudorapidities of the towers of n events.
    eta_max : np.ndarray, shape (k,)
        Ascending limits η_C. A tower at a limit lies outside.

    Returns
    -------
    np.ndarray of float64, shape (n, k)
        Sums in GeV; 0 for an event without towers.
    """
    import awkward as ak

    events, limits = len(et), len(eta_max)
    # Delphes stores single precision: a tower written at η = 1.27 is at the limit 1.27.
    limits_as_stored = np.asarray(eta_max, dtype=np.float32)
    ring = np.searchsorted(limits_as_stored, np.abs(ak.to_numpy(ak.flatten(eta))), side="right")
    event = np.repeat(np.arange(events), ak.to_numpy(ak.num(et)))
    rings = np.bincount(
        event * (limits + 1) + ring,
        weights=ak.to_numpy(ak.flatten(et)),
        minlength=events * (limits + 1),
    )
    return np.cumsum(rings.reshape(events, limits + 1)[:, :limits], axis=1)
