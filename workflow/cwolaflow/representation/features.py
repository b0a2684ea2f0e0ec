"""High-level features: kinematics K and radiation R of arXiv:2008.05434, and VBF."""

from collections.abc import Collection, Mapping

import numpy as np

from cwolaflow.columns import Events
from cwolaflow.kinematics import transverse_energy_within
from cwolaflow.representation.feature_groups import KINEMATIC, RADIATION, RADIATION_ETA_MAX
from cwolaflow.representation.vbf import VBF_JETS, vbf_higgs
from cwolaflow.selection.variables import VARIABLES, Variable, compute

_KINEMATIC_VARIABLES = {name: VARIABLES[name] for name in KINEMATIC}


def _variables(
    groups: Collection[str], decay_products: Mapping[str, int] | None
) -> dict[str, Variable]:
    variables = dict(_KINEMATIC_VARIABLES)
    if "vbf_jets" in groups:
        variables |= VBF_JETS
    if "vbf_higgs" in groups:
        variables |= vbf_higgs(decay_products)
    return variables


def feature_columns(
    groups: Collection[str] = (), decay_products: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """Columns of ``columns.BRANCHES`` and ``columns.DERIVED`` that `features` needs, sorted."""
    variables = _variables(groups, decay_products).values()
    return tuple(sorted({"tower_et", "tower_eta"}.union(*(v.columns for v in variables))))


def features(
    events: Events,
    groups: Collection[str] = (),
    decay_products: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    r"""Compute the features of every event table, and those of further groups.

    Parameters
    ----------
    events : Events
        `feature_columns` of n events.
    groups : collection of str
        ``vbf_jets`` and ``vbf_higgs``, or fewer: see `representation.vbf`.
    decay_products : mapping, optional
        Numbers of ``photons`` and ``leptons`` for ``vbf_higgs``.

    Returns
    -------
    dict of str to np.ndarray, shape (n,)
        Numbers of jets as int64, all else as float32. The kinematic features, of the two jets
        leading in pT and the missing momentum: \|Δη\|,
        \|Δφ\| in [0, π], m_jj in GeV, missing E_T in GeV and its φ, and the \|Δφ\| of the missing
        momentum to each jet and to their sum; NaN where an event lacks a jet. The radiation
        features H_T(η_C) = Σ tower E_T with \|η\| < η_C, in GeV. Then those of ``groups``.
    """
    sums = transverse_energy_within(events["tower_et"], events["tower_eta"], RADIATION_ETA_MAX)
    radiation = dict(zip(RADIATION, sums.T.astype(np.float32), strict=True))
    values = compute(_variables(groups, decay_products), events)
    kinematic = {name: values.pop(name) for name in KINEMATIC}
    return {**kinematic, **radiation, **values}
