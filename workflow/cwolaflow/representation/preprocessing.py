"""The frame in which an event is shown to a classifier: azimuth zero and sign of η."""

from collections.abc import Mapping

import awkward as ak
import numpy as np

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.kinematics import wrap_phi

REFERENCES = ("leading_jet", "missing_et")  # P_J and P_met of arXiv:2008.05434
REFERENCE_COLUMNS = ("jet_eta", "jet_phi", "missing_et_phi")
"""Columns of the skim that the frame needs."""


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
