"""The frame in which an event is shown to a classifier: azimuth zero and signs of η and φ."""

from collections.abc import Mapping

import awkward as ak
import numpy as np

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.kinematics import wrap_phi

REFERENCES = ("leading_jet", "missing_et")  # P_J and P_met of arXiv:2008.05434
REFERENCE_COLUMNS = ("jet_eta", "jet_phi", "missing_et_phi")
"""Columns of the skim that the frame of a jet or of the missing momentum needs."""

CENTROID = "pt_centroid"  # arXiv:2511.18726
VARIANCES = ("slots", "constituents")
PI_SHIFT_VARIANCE = 0.5  # rad²
PT_SUM_FLOOR = 1e-8  # GeV


def reference_frame(
    events: Mapping[str, ak.Array | np.ndarray], reference: str
) -> tuple[np.ndarray, np.ndarray]:
    """Give the azimuth to subtract and the sign to multiply η with, event by event.

    Parameters
    ----------
    events : mapping of str to array
        `REFERENCE_COLUMNS` of n events; jets by falling pT.
    reference : str
        What goes to φ = 0: ``leading_jet`` or ``missing_et``, the missing momentum. With either
        the event is reflected so that its leading jet has η > 0.

    Returns
    -------
    phi_zero, eta_sign : ndarray of float64, shape (n,)
        ``eta_sign`` is +1 or -1, and +1 for a leading jet at η = 0.

    Raises
    ------
    ConfigError
        The reference is unknown.
    InputError
        An event has no jet.
    """
    if reference not in REFERENCES:
        raise ConfigError(
            f"'reference': {reference!r} is unknown; choose from {', '.join(REFERENCES)}"
        )
    if len(events["jet_eta"]) and ak.any(ak.num(events["jet_eta"]) == 0):
        raise InputError(
            f"skim: an event has no jet, but the reference {reference!r} reflects by the leading "
            "jet; add a cut on jets to 'skim.cuts'"
        )
    eta = ak.to_numpy(events["jet_eta"][:, 0]).astype(np.float64)
    if reference == "leading_jet":
        phi_zero = ak.to_numpy(events["jet_phi"][:, 0])
    else:
        phi_zero = np.asarray(events["missing_et_phi"])
    return phi_zero.astype(np.float64), np.where(eta < 0, -1.0, 1.0)


def to_frame(
    eta: np.ndarray, phi: np.ndarray, phi_zero: np.ndarray, eta_sign: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate and reflect directions into the frame of their event.

    Parameters
    ----------
    eta, phi : ndarray or awkward array
        Directions; φ in radians.
    phi_zero, eta_sign : ndarray or awkward array
        From `reference_frame`, broadcastable to ``eta``.

    Returns
    -------
    eta, phi : as the input, float64
        φ in [-π, π).
    """
    return eta * eta_sign, wrap_phi(phi - phi_zero)


def centroid_frame(
    rows: np.ndarray,
    pt: np.ndarray,
    eta: np.ndarray,
    phi: np.ndarray,
    n_events: int,
    slots: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Centre events on their pT-weighted mean φ and mirror their hardest quadrant to η, φ > 0.

    In this order, all kinds of constituents together: where the variance of φ exceeds
    `PI_SHIFT_VARIANCE`, φ is shifted by π; Σ pT φ / Σ pT, a linear mean, is subtracted; of the
    quadrants (η > 0, φ > 0), (+, -), (-, -), (-, +), limits excluded, the one with the largest
    Σ pT, the first of equals, is mirrored to (+, +). η is not centred. Source: arXiv:2511.18726
    and its code.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        Event of every constituent, in any order.
    pt, eta, phi : ndarray, shape (n,)
        GeV and rad.
    n_events : int
    slots : int, optional
        Slots of an event, the empty ones of which enter the variance as φ = 0, as published; not
        given, the variance is that of the constituents alone.

    Returns
    -------
    eta, phi : ndarray of float64, shape (n,)
        φ in [-π, π).
    """

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(rows, weights=values, minlength=n_events)

    eta, phi = np.asarray(eta, np.float64), wrap_phi(np.asarray(phi, np.float64))
    filled = np.bincount(rows, minlength=n_events)
    entering = filled if slots is None else np.full(n_events, slots)
    mean = total(phi) / np.maximum(entering, 1)
    squares = total((phi - mean[rows]) ** 2) + (entering - filled) * mean**2
    is_shifted = squares / np.maximum(entering, 1) > PI_SHIFT_VARIANCE
    phi = wrap_phi(phi + np.pi * is_shifted[rows])
    centre = total(pt * phi) / (total(pt) + PT_SUM_FLOOR)
    phi = wrap_phi(phi - centre[rows])
    quadrants = (
        (eta > 0) & (phi > 0),
        (eta > 0) & (phi < 0),
        (eta < 0) & (phi < 0),
        (eta < 0) & (phi > 0),
    )
    hardest = np.argmax([total(pt * quadrant) for quadrant in quadrants], axis=0)
    phi_sign = np.array([1.0, -1.0, -1.0, 1.0])[hardest]
    eta_sign = np.array([1.0, 1.0, -1.0, -1.0])[hardest]
    return eta * eta_sign[rows], wrap_phi(phi * phi_sign[rows])
