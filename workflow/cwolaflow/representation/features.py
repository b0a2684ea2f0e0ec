"""High-level features of arXiv:2008.05434: kinematics K and radiation R."""

import numpy as np

from cwolaflow.delphes import Events
from cwolaflow.kinematics import transverse_energy_within
from cwolaflow.selection.variables import VARIABLES, compute

KINEMATIC = (
    "delta_eta_jj",
    "delta_phi_jj",
    "m_jj",
    "missing_et",
    "missing_et_phi",
    "delta_phi_met_j1",
    "delta_phi_met_j2",
    "delta_phi_met_jj",
)

RADIATION_ETA_MAX = np.array(
    [1, 1.27, 1.53, 1.8, 2.07, 2.33, 2.6, 2.87, 3.13, 3.4, 3.67, 3.93, 4.2, 4.47, 4.73, 5]
)
"""The limits η_C of H_T(η_C)."""

RADIATION = tuple(f"ht_eta_{round(100 * eta_max)}" for eta_max in RADIATION_ETA_MAX)

FEATURE_GROUPS: dict[str, tuple[str, ...]] = {"kinematic": KINEMATIC, "radiation": RADIATION}
"""Names of the features by group; in GeV and rad."""

_KINEMATIC_VARIABLES = {name: VARIABLES[name] for name in KINEMATIC}

FEATURE_COLUMNS = tuple(
    sorted({"tower_et", "tower_eta"}.union(*(v.columns for v in _KINEMATIC_VARIABLES.values())))
)
"""Columns of ``delphes.BRANCHES`` that the features need."""


def features(events: Events) -> dict[str, np.ndarray]:
    r"""Compute all features.

    Parameters
    ----------
    events : Events
        ``FEATURE_COLUMNS`` of n events.

    Returns
    -------
    dict of str to np.ndarray of float32, shape (n,)
        The kinematic features, of the two jets leading in pT and the missing momentum: \|Δη\|,
        \|Δφ\| in [0, π], m_jj in GeV, missing E_T in GeV and its φ, and the \|Δφ\| of the missing
        momentum to each jet and to their sum; NaN where an event lacks a jet. The radiation
        features H_T(η_C) = Σ tower E_T with \|η\| < η_C, in GeV.
    """
    sums = transverse_energy_within(events["tower_et"], events["tower_eta"], RADIATION_ETA_MAX)
    radiation = dict(zip(RADIATION, sums.T.astype(np.float32), strict=True))
    return {**compute(_KINEMATIC_VARIABLES, events), **radiation}
