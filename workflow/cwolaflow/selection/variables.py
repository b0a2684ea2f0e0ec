"""Event variables: the same functions serve the cuts and the features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import awkward as ak
import numpy as np

from cwolaflow.columns import Events
from cwolaflow.errors import ConfigError
from cwolaflow.kinematics import delta_phi, dijet
from cwolaflow.vectors import vector

PHOTON_MOMENTUM = ("photon_pt", "photon_eta", "photon_phi")
MOMENTUM = ("jet_pt", "jet_eta", "jet_phi", "jet_mass")


@dataclass(frozen=True)
class Variable:
    """How to compute an event variable.

    Attributes
    ----------
    columns : tuple of str
        Columns of ``columns.BRANCHES`` and ``columns.DERIVED`` that it reads.
    compute : callable
        From ``Events`` of n events to shape (n,), NaN where undefined.
    """

    columns: tuple[str, ...]
    compute: Callable[[Events], np.ndarray]


def nth(events: Events, column: str, n: int) -> np.ndarray:
    """Value of the n-th jet or photon (from 1), float64, shape (events,); NaN without one.

    They come in falling pT.
    """
    counts = ak.to_numpy(ak.num(events[column]))
    present = counts >= n
    positions = np.cumsum(counts) - counts + n - 1
    values = np.full(len(counts), np.nan)
    values[present] = ak.to_numpy(ak.flatten(events[column]))[positions[present]]
    return values


def jet_vector(events: Events, n: int) -> vector.VectorNumpy4D:
    """Momentum of the n-th jet (from 1) in GeV, shape (events,); NaN without one."""
    names = ("pt", "eta", "phi", "mass")
    return vector.array(
        {name: nth(events, column, n) for name, column in zip(names, MOMENTUM, strict=True)}
    )


def _delta_eta_jj(events: Events) -> np.ndarray:
    return np.abs(nth(events, "jet_eta", 1) - nth(events, "jet_eta", 2))


def _delta_phi_jj(events: Events) -> np.ndarray:
    return np.abs(delta_phi(nth(events, "jet_phi", 1), nth(events, "jet_phi", 2)))


def _m_jj(events: Events) -> np.ndarray:
    return dijet(jet_vector(events, 1), jet_vector(events, 2))[0]


def _photon_vector(events: Events, n: int) -> vector.VectorNumpy4D:
    pt, eta, phi = (nth(events, column, n) for column in PHOTON_MOMENTUM)
    return vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": np.zeros_like(pt)})


def _m_photon_photon(events: Events) -> np.ndarray:
    return (_photon_vector(events, 1) + _photon_vector(events, 2)).mass


def _delta_phi_met_jet(events: Events, n: int) -> np.ndarray:
    return np.abs(delta_phi(events["missing_et_phi"], nth(events, "jet_phi", n)))


def _delta_phi_met_jj(events: Events) -> np.ndarray:
    phi_jj = dijet(jet_vector(events, 1), jet_vector(events, 2))[1]
    return np.abs(delta_phi(events["missing_et_phi"], phi_jj))


def _min_delta_phi_met_jet(events: Events, jets: Mapping[str, Any]) -> np.ndarray:
    counts = (events["jet_pt"] > jets["pt_min"]) & (abs(events["jet_eta"]) < jets["abs_eta_max"])
    phi = events["jet_phi"][counts][:, : jets["max_count"]]
    smallest = ak.min(abs(delta_phi(events["missing_et_phi"], phi)), axis=1)
    return ak.to_numpy(ak.fill_none(smallest, np.nan))


def _jet(n: int, quantity: str) -> Variable:
    column = f"jet_{quantity}"
    return Variable((column,), lambda events: nth(events, column, n))


VARIABLES: dict[str, Variable] = {
    **{f"jet{n}_{q}": _jet(n, q) for n in (1, 2) for q in ("pt", "eta", "phi", "mass", "flavour")},
    **{
        f"jet{n}_n_constituents": Variable(
            ("jet_pt", "jet_n_constituents"), partial(nth, column="jet_n_constituents", n=n)
        )
        for n in (1, 2)
    },
    "m_photon_photon": Variable(PHOTON_MOMENTUM, _m_photon_photon),
    "n_jet": Variable(("jet_pt",), lambda events: ak.to_numpy(ak.num(events["jet_pt"]))),
    "delta_eta_jj": Variable(("jet_eta",), _delta_eta_jj),
    "delta_phi_jj": Variable(("jet_phi",), _delta_phi_jj),
    "m_jj": Variable(MOMENTUM, _m_jj),
    "missing_et": Variable(("missing_et",), lambda events: events["missing_et"]),
    "missing_et_phi": Variable(("missing_et_phi",), lambda events: events["missing_et_phi"]),
    "delta_phi_met_j1": Variable(("missing_et_phi", "jet_phi"), partial(_delta_phi_met_jet, n=1)),
    "delta_phi_met_j2": Variable(("missing_et_phi", "jet_phi"), partial(_delta_phi_met_jet, n=2)),
    "delta_phi_met_jj": Variable(("missing_et_phi", *MOMENTUM), _delta_phi_met_jj),
}
"""Variables of the two jets and photons leading in pT and of the missing momentum.

GeV and rad. ``delta_*`` are absolute values, Δφ in [0, π]; ``delta_phi_met_jj`` is the angle of the
missing momentum to the sum of the two jets. ``jet1_n_constituents`` counts the tracks and neutral
energy-flow objects of a jet. Variables of a jet or photon that an event lacks are NaN.
"""


def min_delta_phi_met_jet(jets: Mapping[str, Any] | None) -> Variable:
    """Smallest |Δφ| of the missing momentum to a jet, in rad; NaN where no jet counts.

    Parameters
    ----------
    jets : mapping or None
        ``skim.met_isolation_jets``: only the ``max_count`` leading ones of the jets with pT above
        ``pt_min`` (GeV) and \\|η\\| below ``abs_eta_max`` count.

    Raises
    ------
    ConfigError
        ``jets`` is None.
    """
    if jets is None:
        raise ConfigError(
            "skim.met_isolation_jets: missing, but a cut uses min_delta_phi_met_jet; "
            "give pt_min, abs_eta_max and max_count"
        )
    columns = ("missing_et_phi", "jet_pt", "jet_eta", "jet_phi")
    return Variable(columns, partial(_min_delta_phi_met_jet, jets=jets))


def compute(variables: Mapping[str, Variable], events: Events) -> dict[str, np.ndarray]:
    """Compute event variables.

    Parameters
    ----------
    variables : mapping of str to Variable
        What to compute.
    events : Events
        Columns of n events.

    Returns
    -------
    dict of str to np.ndarray, shape (n,)
        Counts as int64; all else as float32, the precision of Delphes, so that angles and
        momenta given exactly at the edge of a cut are at the edge.
    """
    values = {name: variable.compute(events) for name, variable in variables.items()}
    return {
        name: value.astype(np.int64 if value.dtype.kind in "iu" else np.float32)
        for name, value in values.items()
    }
