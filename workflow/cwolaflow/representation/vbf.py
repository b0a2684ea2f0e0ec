"""High-level features of two tagging jets and of the Higgs boson: inputs of taggers of VBF."""

from collections.abc import Callable, Mapping
from functools import partial

import awkward as ak
import numpy as np

from cwolaflow.columns import Events
from cwolaflow.kinematics import delta_phi, dijet
from cwolaflow.representation.jagged import flatten
from cwolaflow.selection.objects import COLLECTIONS
from cwolaflow.selection.variables import MOMENTUM, VARIABLES, Variable, jet_vector, nth
from cwolaflow.vectors import vector

GIRTH_CONE = 0.4

_TOWERS = ("tower_et", "tower_eta", "tower_phi")


def _abs_eta(events: Events, n: int) -> np.ndarray:
    return np.abs(nth(events, "jet_eta", n))


def _eta_sign(events: Events) -> np.ndarray:
    return np.sign(nth(events, "jet_eta", 1) * nth(events, "jet_eta", 2))


def _central(events: Events) -> ak.Array:
    """Whether each jet lies between the two leading ones in η; of those two neither does."""
    eta = np.stack([nth(events, "jet_eta", n) for n in (1, 2)])
    return (events["jet_eta"] > eta.min(axis=0)) & (events["jet_eta"] < eta.max(axis=0))


def _sum_pt(pt: ak.Array) -> np.ndarray:
    return ak.to_numpy(ak.sum(ak.values_astype(pt, np.float64), axis=1))


def _girth(events: Events, n: int) -> np.ndarray:
    rows, et = flatten(events["tower_et"])
    jet_eta, jet_phi = nth(events, "jet_eta", n), nth(events, "jet_phi", n)
    _, eta = flatten(events["tower_eta"])
    _, phi = flatten(events["tower_phi"])
    distance = np.hypot(eta - jet_eta[rows], delta_phi(phi, jet_phi[rows]))
    is_near = distance < GIRTH_CONE
    rows, et, distance = rows[is_near], et[is_near].astype(np.float64), distance[is_near]
    total = np.bincount(rows, weights=et, minlength=len(jet_eta))
    moment = np.bincount(rows, weights=et * distance, minlength=len(jet_eta))
    girth = np.divide(moment, total, out=np.zeros_like(total), where=total > 0)
    return np.where(np.isnan(jet_eta), np.nan, girth)


VBF_JETS: dict[str, Variable] = {
    **{name: VARIABLES[name] for name in ("m_jj", "delta_eta_jj", "delta_phi_jj")},
    **{f"jet{n}_pt": VARIABLES[f"jet{n}_pt"] for n in (1, 2)},
    **{f"jet{n}_abs_eta": Variable(("jet_eta",), partial(_abs_eta, n=n)) for n in (1, 2)},
    "eta_sign_jj": Variable(("jet_eta",), _eta_sign),
    "n_further_jets": Variable(
        ("jet_pt",), lambda events: ak.to_numpy(ak.num(events["jet_pt"][:, 2:]))
    ),
    "further_jets_pt": Variable(("jet_pt",), lambda events: _sum_pt(events["jet_pt"][:, 2:])),
    "n_central_jets": Variable(
        ("jet_eta",), lambda events: ak.to_numpy(ak.sum(_central(events), axis=1))
    ),
    "central_jets_pt": Variable(
        ("jet_pt", "jet_eta"), lambda events: _sum_pt(events["jet_pt"][_central(events)])
    ),
    **{f"jet{n}_n_constituents": VARIABLES[f"jet{n}_n_constituents"] for n in (1, 2)},
    **{
        f"jet{n}_girth": Variable(("jet_eta", "jet_phi", *_TOWERS), partial(_girth, n=n))
        for n in (1, 2)
    },
}
r"""Of the two jets leading in pT: \|Δη\|, \|Δφ\|, m_jj and pT (GeV), \|η\|, the sign of η₁ η₂,
numbers of constituents and girths Σ E_T ΔR / Σ E_T of the towers within ΔR < 0.4 (0 without any).
Of all other jets, and of those that lie between the two in η: their number and Σ pT (GeV)."""


def _decay_products(events: Events, decay_products: Mapping[str, int]) -> vector.VectorNumpy4D:
    """Sum of the hardest photons and leptons, one vector an event; NaN where some are missing."""
    momenta = []
    for key, number in decay_products.items():
        prefix = COLLECTIONS[key]
        order = ak.argsort(events[f"{prefix}_pt"], axis=1, ascending=False, stable=True)
        ordered = {name: events[f"{prefix}_{name}"][order] for name in ("pt", "eta", "phi")}
        for n in range(1, number + 1):
            momentum = {name: nth(ordered, name, n) for name in ordered}
            momenta.append(vector.array({**momentum, "mass": np.zeros(len(momentum["pt"]))}))
    return sum(momenta[1:], start=momenta[0])


def _higgs_centrality(events: Events, higgs: vector.VectorNumpy4D) -> np.ndarray:
    return np.abs(higgs.eta - (nth(events, "jet_eta", 1) + nth(events, "jet_eta", 2)) / 2)


def _delta_phi_higgs_jj(events: Events, higgs: vector.VectorNumpy4D) -> np.ndarray:
    return np.abs(delta_phi(higgs.phi, dijet(jet_vector(events, 1), jet_vector(events, 2))[1]))


def _pt_balance(events: Events, higgs: vector.VectorNumpy4D) -> np.ndarray:
    jets = [jet_vector(events, n) for n in (1, 2)]
    return (higgs + jets[0] + jets[1]).pt / (higgs.pt + jets[0].pt + jets[1].pt)


_OF_HIGGS: dict[str, tuple[tuple[str, ...], Callable[..., np.ndarray]]] = {
    "higgs_pt": ((), lambda events, higgs: higgs.pt),
    "higgs_centrality": (("jet_eta",), _higgs_centrality),
    "delta_phi_higgs_jj": (MOMENTUM, _delta_phi_higgs_jj),
    "pt_balance": (MOMENTUM, _pt_balance),
}


def vbf_higgs(decay_products: Mapping[str, int]) -> dict[str, Variable]:
    r"""Give the features of the Higgs boson beside the two jets leading in pT.

    Parameters
    ----------
    decay_products : mapping
        ``select.decay_products``: number of hardest ``photons`` and ``leptons`` that it decayed to.

    Returns
    -------
    dict of str to Variable
        pT of the boson in GeV; its Zeppenfeld centrality \|η - (η₁ + η₂) / 2\|; \|Δφ\| to the sum
        of the jets; \|Σ pT vector\| / Σ pT of boson and jets. NaN where an event lacks one of them.
    """
    own = tuple(
        f"{COLLECTIONS[key]}_{name}" for key in decay_products for name in ("pt", "eta", "phi")
    )

    def variable(columns: tuple[str, ...], compute: Callable[..., np.ndarray]) -> Variable:
        def of_events(events: Events) -> np.ndarray:
            return compute(events, _decay_products(events, decay_products))

        return Variable((*own, *columns), of_events)

    return {name: variable(*definition) for name, definition in _OF_HIGGS.items()}
