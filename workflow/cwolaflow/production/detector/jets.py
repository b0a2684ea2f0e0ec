"""Anti-kt jets of energy-flow objects, their flavour and tags."""

from collections.abc import Callable
from dataclasses import dataclass

import awkward as ak
import fastjet
import numpy as np

from cwolaflow.kinematics import wrap_phi
from cwolaflow.production.detector.flow import NEUTRAL_HADRON, PHOTON, FlowObjects
from cwolaflow.production.detector.geometry import (
    delta_r,
    offsets_of,
    pairs_within_events,
    pseudorapidity,
    sum_by,
)
from cwolaflow.production.detector.particles import GeneratorEvents
from cwolaflow.vectors import vector

vector.register_awkward()


@dataclass(frozen=True)
class Jets:
    """Jets by event and falling pt.

    Parameters
    ----------
    event : int64 array, shape (n,)
    px, py, pz, energy : float64 arrays, shape (n,)
        GeV.
    jet, constituent : int64 arrays, shape (n_constituents,)
        Jet and energy-flow object of each constituent.
    """

    event: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    energy: np.ndarray
    jet: np.ndarray
    constituent: np.ndarray

    def __len__(self) -> int:
        """Number of jets."""
        return len(self.event)

    @property
    def pt(self) -> np.ndarray:
        """Transverse momentum, GeV."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> np.ndarray:
        """Pseudorapidity."""
        return pseudorapidity(self.pt, self.pz)

    @property
    def phi(self) -> np.ndarray:
        """Azimuth."""
        return np.arctan2(self.py, self.px)

    @property
    def mass(self) -> np.ndarray:
        """Invariant mass, GeV; minus the root where rounding makes its square negative."""
        square = self.energy**2 - self.px**2 - self.py**2 - self.pz**2
        return np.copysign(np.sqrt(np.abs(square)), square)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over the constituents of each jet of a value of the energy-flow objects."""
        return sum_by(self.jet, values[self.constituent], len(self))

    def scaled(self, factor: np.ndarray) -> "Jets":
        """The same jets with their four-vectors times ``factor``; not sorted again."""
        return Jets(
            self.event,
            self.px * factor,
            self.py * factor,
            self.pz * factor,
            self.energy * factor,
            self.jet,
            self.constituent,
        )


def cluster(flow: FlowObjects, events: int, radius: float, pt_min: float) -> Jets:
    """Anti-kt jets (E-scheme) of energy-flow objects.

    Parameters
    ----------
    flow : FlowObjects
    events : int
        Number of events of the batch.
    radius : float
    pt_min : float
        GeV.
    """
    counts = np.bincount(flow.event, minlength=events)
    momenta = flow.momenta()
    records = ak.unflatten(ak.zip(momenta, with_name="Momentum4D"), counts)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    found = fastjet.ClusterSequence(records, definition).constituent_index(min_pt=pt_min)
    jets_per_event = ak.num(found, axis=1).to_numpy()
    sizes = ak.flatten(ak.num(found, axis=2)).to_numpy()
    event = np.repeat(np.arange(events), jets_per_event)
    jet = np.repeat(np.arange(len(sizes)), sizes)
    first = offsets_of(flow.event, events)[event[jet]]
    constituent = ak.flatten(found, axis=None).to_numpy().astype(np.int64) + first

    total = {name: sum_by(jet, values[constituent], len(sizes)) for name, values in momenta.items()}
    order = np.lexsort((-np.hypot(total["px"], total["py"]), event))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Jets(
        event[order],
        total["px"][order],
        total["py"][order],
        total["pz"][order],
        total["E"][order],
        rank[jet],
        constituent,
    )


def constituent_summary(jets: Jets, flow: FlowObjects) -> dict[str, np.ndarray]:
    """Delphes' fields of a jet that come from its constituents, before the energy scale.

    Parameters
    ----------
    jets : Jets
    flow : FlowObjects

    Returns
    -------
    dict of float64 array, shape (n_jets,)
        ``T`` in mm. ``DeltaEta`` and ``DeltaPhi`` are the largest of this and all harder jets of
        the event: Delphes does not reset them.
    """
    energy = flow.momenta()["E"]
    charged = flow.charge != 0
    electromagnetic = jets.sum(np.where(flow.kind == PHOTON, energy, 0))
    hadronic = jets.sum(np.where(flow.kind == NEUTRAL_HADRON, energy, 0))
    roots = np.sqrt(energy)
    eta_width, phi_width = np.zeros(len(jets)), np.zeros(len(jets))
    jet, part = jets.jet, jets.constituent
    np.maximum.at(eta_width, jet, np.abs(jets.eta[jet] - flow.eta[part]))
    np.maximum.at(phi_width, jet, np.abs(wrap_phi(jets.phi[jet] - flow.phi[part])))
    return {
        "T": jets.sum(roots * flow.time) / jets.sum(roots),
        "DeltaEta": _running_maximum(eta_width, jets.event),
        "DeltaPhi": _running_maximum(phi_width, jets.event),
        "EhadOverEem": np.divide(
            hadronic, electromagnetic, out=np.full(len(jets), 999.9), where=electromagnetic > 0
        ),
        "NCharged": jets.sum(charged.astype(np.float64)),
        "NNeutrals": jets.sum((~charged).astype(np.float64)),
        "Charge": jets.sum(flow.charge.astype(np.float64)),
        "NeutralEnergyFraction": jets.sum(np.where(charged, 0, energy)) / jets.energy,
        "ChargedEnergyFraction": jets.sum(np.where(charged, energy, 0)) / jets.energy,
    }


def _running_maximum(values: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Maximum of this and all earlier entries of the same event; ``event`` is sorted."""
    if not len(values):
        return values
    rank = np.arange(len(event)) - np.searchsorted(event, event)
    table = np.full((event[-1] + 1, rank.max() + 1), -np.inf)
    table[event, rank] = values
    return np.maximum.accumulate(table, axis=1)[event, rank]


def parton_flavour(jets: Jets, events: GeneratorEvents, cuts: dict) -> np.ndarray:
    """Flavour of jets as Delphes' JetFlavorAssociation gives it.

    The largest |PDG id| of the quarks (d ... b) within ``delta_r_max``, of all copies of partons in
    the generator record; 21 if there are only gluons, 0 if there is nothing.

    Parameters
    ----------
    jets : Jets
    events : GeneratorEvents
    cuts : dict
        ``delta_r_max``, ``parton_pt_min`` in GeV, ``parton_abs_eta_max``.

    Returns
    -------
    int64 array, shape (n_jets,)
    """
    absolute = np.abs(events.pid)
    is_parton = ((absolute >= 1) & (absolute <= 5)) | (absolute == 21)
    index = np.flatnonzero(is_parton & (events.status != 1) & (events.status != -1))
    pt = np.hypot(events.px[index], events.py[index])
    index, pt = index[pt > cuts["parton_pt_min"]], pt[pt > cuts["parton_pt_min"]]
    eta = np.arcsinh(events.pz[index] / pt)
    central = np.abs(eta) <= cuts["parton_abs_eta_max"]
    index, eta = index[central], eta[central]
    phi = np.arctan2(events.py[index], events.px[index])

    jet, parton = pairs_within_events(jets.event, np.searchsorted(index, events.offsets))
    near = delta_r(jets.eta[jet], jets.phi[jet], eta[parton], phi[parton]) <= cuts["delta_r_max"]
    jet, code = jet[near], absolute[index[parton[near]]]
    quark, gluon = np.zeros(len(jets), np.int64), np.zeros(len(jets), np.int64)
    np.maximum.at(quark, jet[code != 21], code[code != 21])
    gluon[jet[code == 21]] = 21
    return np.where(quark > 0, quark, gluon)


def tau_charge(jets: Jets, events: GeneratorEvents, cuts: dict) -> np.ndarray:
    """Charge of the tau inside each jet, 0 for none; int64, shape (n_jets,).

    A tau counts with the summed momentum of its daughters without the tau neutrino, and not at all
    when a daughter is a W that decays to e or mu. The last one of the record wins.

    Parameters
    ----------
    jets : Jets
    events : GeneratorEvents
    cuts : dict
        ``delta_r_max``, ``tau_pt_min`` in GeV, ``tau_abs_eta_max``.
    """
    charge = np.zeros(len(jets), np.int64)
    taus, momentum = _tau_momenta(events, cuts)
    if not len(taus):
        return charge
    pt = np.hypot(momentum[0], momentum[1])
    eta, phi = pseudorapidity(pt, momentum[2]), np.arctan2(momentum[1], momentum[0])
    jet, tau = pairs_within_events(jets.event, np.searchsorted(taus, events.offsets))
    near = delta_r(jets.eta[jet], jets.phi[jet], eta[tau], phi[tau]) <= cuts["delta_r_max"]
    # Pairs come in record order, so a later tau overwrites an earlier one.
    charge[jet[near]] = -np.sign(events.pid[taus[tau[near]]])
    return charge


def _tau_momenta(events: GeneratorEvents, cuts: dict) -> tuple[np.ndarray, np.ndarray]:
    """Index of the taus that may tag a jet, and their momenta without tau neutrino (3, n_taus)."""
    absolute = np.abs(events.pid)
    candidate = np.flatnonzero((absolute == 15) & (events.status != 1))
    pt = np.hypot(events.px[candidate], events.py[candidate])
    eta = pseudorapidity(pt, events.pz[candidate])
    candidate = candidate[(pt > cuts["tau_pt_min"]) & (np.abs(eta) <= cuts["tau_abs_eta_max"])]
    if not len(candidate):
        return candidate, np.zeros((3, 0))
    has_mother = np.flatnonzero(events.mother >= 0)
    mother = events.mother[has_mother] + events.offsets[events.event[has_mother]]
    lepton = np.isin(absolute[has_mother], (11, 13))
    leptonic_w = np.unique(mother[lepton & (absolute[mother] == 24)])
    place = np.searchsorted(candidate, mother)
    place[place == len(candidate)] = 0
    daughter = candidate[place] == mother
    place, child = place[daughter], has_mother[daughter]
    count = np.bincount(place, minlength=len(candidate))
    rejected = sum_by(place, np.isin(child, leptonic_w), len(candidate)) > 0
    visible = absolute[child] != 16
    momentum = np.stack(
        [
            sum_by(place[visible], values[child[visible]], len(candidate))
            for values in (events.px, events.py, events.pz)
        ]
    )
    good = (count > 0) & ~rejected
    return candidate[good], momentum[:, good]


@dataclass(frozen=True)
class Tagger:
    """Efficiency of a tag as functions of ``pt`` and ``eta``: by flavour, and for all others."""

    default: Callable
    by_flavour: dict[int, Callable]


def tag(
    flavour: np.ndarray, jets: Jets, tagger: Tagger, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a tag by flavour.

    Returns
    -------
    tuple of array
        Tag (int64, 0 or 1) and its efficiency (float64).
    """
    pt, eta = jets.pt, jets.eta
    efficiency = np.full(len(jets), tagger.default(pt=pt, eta=eta))
    for code, formula in tagger.by_flavour.items():
        efficiency = np.where(flavour == code, formula(pt=pt, eta=eta), efficiency)
    return (rng.random(len(jets)) <= efficiency).astype(np.int64), efficiency
