"""Cuts that define a process, and filters that drop an event before most of its work is done."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

import pythia8mc

from cwolaflow.errors import ConfigError, StatisticsError

INVISIBLE = frozenset((12, 14, 16, 1000022))
BOSONS = frozenset((23, 24, 25))
MAX_DROPPED = 200_000
PHOTONS = frozenset((22,))
LEPTONS = frozenset((11, 13))
_W_BOSON = 24
_FIRST_OUTGOING = 5
_MAX_OUTGOING = 4
_ANTI_KT = -1
_VISIBLE = 2
_ALL_RAPIDITIES = 25.0
_MASSES_AS_THEY_ARE = 2
_RESONANCE_SHOWERS = 5


@dataclass(frozen=True)
class ShowerFilter:
    """Ask for a boson, its decay products and two jets while the shower still runs.

    Partons that are there when the evolution of showers and multiple interactions has come down
    to ``scale`` are clustered (anti-kt in rapidity, leptons count), and some pair of jets must
    pass every cut on pairs. The cuts must be looser than those of the analysis by more than
    hadronisation, softer radiation and the detector can move a jet; otherwise the filter biases
    the sample.

    Parameters
    ----------
    scale, radius : float
        pT in GeV where the filter looks; jet radius.
    boson_pt_min : float
        Of the hard process's W, Z or Higgs boson, recoil against the shower included, in GeV.
    leading_pt_min, subleading_pt_min : float
        Of the pair's jets, in GeV.
    delta_eta_min, delta_phi_max, mass_min : float
        Of the pair; rapidities stand for pseudorapidities; mass in GeV.
    same_side_max : float
        Largest rapidity of the more central jet if both are on one side.
    jet_abs_eta_max : float
        Largest \\|rapidity\\| of a jet that counts.
    photons, leptons : int
        Photons, and electrons and muons, that the boson decays to within the acceptance below.
    photon_pt_min, lepton_pt_min : float
        In GeV, with the recoil of the boson.
    photon_abs_eta_max, lepton_abs_eta_max : float
    """

    scale: float
    leading_pt_min: float
    subleading_pt_min: float
    radius: float = 0.7
    boson_pt_min: float = 0.0
    delta_eta_min: float = 0.0
    delta_phi_max: float = math.pi
    mass_min: float = 0.0
    same_side_max: float = math.inf
    jet_abs_eta_max: float = math.inf
    photons: int = 0
    photon_pt_min: float = 0.0
    photon_abs_eta_max: float = math.inf
    leptons: int = 0
    lepton_pt_min: float = 0.0
    lepton_abs_eta_max: float = math.inf

    @property
    def looks_at_decays(self) -> bool:
        """Whether decay products are asked for."""
        return self.photons > 0 or self.leptons > 0

    def accepts_decay(self, products: list[tuple[int, float, float]]) -> bool:
        """Whether enough decay products are within their acceptance.

        Parameters
        ----------
        products : list of (PDG id, pt, eta)
            In GeV.
        """
        photons = leptons = 0
        for pid, pt, eta in products:
            if abs(pid) in PHOTONS:
                photons += pt >= self.photon_pt_min and abs(eta) <= self.photon_abs_eta_max
            elif abs(pid) in LEPTONS:
                leptons += pt >= self.lepton_pt_min and abs(eta) <= self.lepton_abs_eta_max
        return photons >= self.photons and leptons >= self.leptons

    def accepts(self, jets: list[tuple[float, float, float, float]]) -> bool:
        """Whether some pair of jets passes.

        Parameters
        ----------
        jets : list of (pt, y, phi, m)
            By falling pT, in GeV.
        """
        jets = [jet for jet in jets if abs(jet[1]) <= self.jet_abs_eta_max]
        for number, second in enumerate(jets):
            if second[0] < self.subleading_pt_min:
                return False
            for first in jets[:number]:
                if first[0] < self.leading_pt_min:
                    break
                opposite = first[1] * second[1] < 0
                if (
                    abs(first[1] - second[1]) >= self.delta_eta_min
                    and (opposite or min(abs(first[1]), abs(second[1])) <= self.same_side_max)
                    and _delta_phi(first[2], second[2]) <= self.delta_phi_max
                    and _pair_mass(first, second) >= self.mass_min
                ):
                    return True
        return False


@dataclass(frozen=True)
class PartonCuts:
    """Phase space of the partons of a process, as in the run card of a matrix-element generator.

    Events outside do not belong to the process: they are in no efficiency and no cross section.

    Parameters
    ----------
    pt_min, abs_eta_max : float
        pT in GeV and |eta| of every outgoing quark and gluon of the hard process; MadGraph's
        ``ptj`` and ``etaj``.
    """

    pt_min: float = 0.0
    abs_eta_max: float = math.inf

    def accepts(self, process: "pythia8mc.Event") -> bool:
        """Whether a hard process is within."""
        return all(
            pt >= self.pt_min and abs(eta) <= self.abs_eta_max
            for pt, eta in outgoing_partons(process)
        )


@dataclass(frozen=True)
class LeptonCuts:
    """Phase space of the charged leptons of a process, those of resonance decays included.

    Parameters
    ----------
    pt_min, abs_eta_max : float
        pT in GeV and |eta| of every electron, muon and tau of the hard process; MadGraph's ``ptl``
        and ``etal``.
    delta_r_min : float
        Of every two of them, in eta and phi; MadGraph's ``drll``.
    """

    pt_min: float = 0.0
    abs_eta_max: float = math.inf
    delta_r_min: float = 0.0

    def accepts(self, process: "pythia8mc.Event") -> bool:
        """Whether a hard process is within."""
        leptons = charged_leptons(process)
        return all(
            pt >= self.pt_min and abs(eta) <= self.abs_eta_max for pt, eta, _ in leptons
        ) and all(
            math.hypot(first[1] - second[1], _delta_phi(first[2], second[2])) >= self.delta_r_min
            for first, second in itertools.combinations(leptons, 2)
        )


@dataclass(frozen=True)
class PhaseSpace:
    """All cuts that define a process."""

    partons: PartonCuts = PartonCuts()
    leptons: LeptonCuts = LeptonCuts()

    def accepts(self, process: "pythia8mc.Event") -> bool:
        """Whether a hard process is within."""
        return self.partons.accepts(process) and self.leptons.accepts(process)

    @classmethod
    def from_config(
        cls, parton_cuts: Mapping[str, Any] | None, lepton_cuts: Mapping[str, Any] | None
    ) -> "PhaseSpace":
        """From config sections with the names of the parameters of `PartonCuts` and `LeptonCuts`.

        Raises
        ------
        ConfigError
            An unknown name, or a value that is not a number.
        """
        return cls(
            _build(PartonCuts, parton_cuts or {}, "parton_cuts"),
            _build(LeptonCuts, lepton_cuts or {}, "lepton_cuts"),
        )


@dataclass(frozen=True)
class PartonFilter:
    """What an event must have to be generated to its end.

    Parameters
    ----------
    invisible_pt_min : float
        pT in GeV of the vector sum of the hard process's invisible particles (neutrinos and
        neutralinos after the decays of resonances). Looked at before any shower.
    shower : ShowerFilter, optional
    """

    invisible_pt_min: float = 0.0
    shower: ShowerFilter | None = None

    @property
    def looks_at_decays(self) -> bool:
        """Whether the shower filter asks for decay products of the boson."""
        return self.shower is not None and self.shower.looks_at_decays

    def accepts(self, process: "pythia8mc.Event") -> bool:
        """Whether a hard process passes, whatever the shower makes of it."""
        return invisible_pt(process) >= self.invisible_pt_min

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "PartonFilter":
        """From a config section with the names of the parameters.

        Raises
        ------
        ConfigError
            An unknown or missing name, or a value that is not a number.
        """
        values = dict(config)
        pair = values.get("shower")
        if pair is not None:
            if not isinstance(pair, Mapping):
                raise ConfigError(f"filter.shower: {pair} is no section; give names and values")
            values["shower"] = _build(ShowerFilter, pair, "filter.shower")
        return _build(cls, values, "filter")


class FilterHook(pythia8mc.UserHooks):
    """Lets PYTHIA drop events outside the cuts, or that a filter does not accept.

    PYTHIA then starts anew with another hard process and counts the dropped one as selected but
    not accepted, so that its cross section is that of the accepted events.

    Attributes
    ----------
    outside : int
        Hard processes outside the cuts so far.
    """

    def __init__(self, event_filter: PartonFilter, cuts: PhaseSpace = PhaseSpace()):
        super().__init__()
        self._filter, self._cuts = event_filter, cuts
        self.outside = 0
        self._dropped = 0
        self._decay: tuple[pythia8mc.Vec4, list] | None = None
        self._jets = None
        if event_filter.shower is not None:
            pair = event_filter.shower
            self._jets = pythia8mc.SlowJet(
                _ANTI_KT,
                pair.radius,
                pair.subleading_pt_min,
                _ALL_RAPIDITIES,
                _VISIBLE,
                _MASSES_AS_THEY_ARE,
            )

    def canVetoProcessLevel(self):  # noqa: D102
        cuts = self._filter.invisible_pt_min > 0 or self._cuts != PhaseSpace()
        return cuts or self._filter.looks_at_decays

    def doVetoProcessLevel(self, process):  # noqa: D102
        if not self._cuts.accepts(process):
            self.outside += 1
            return self._drops(False, last=True)
        if self._filter.looks_at_decays:
            self.note_decay(process)
        accepted = self._filter.accepts(process)
        return self._drops(accepted, last=not self.canVetoPT())

    def note_decay(self, process: "pythia8mc.Event") -> None:
        """Keep the decay of the hard process's boson, which enters the event after its showers."""
        self._decay = None
        number = _boson(process)
        if number is not None:
            number = process[number].iBotCopyId()
            products = [
                (process[i].id(), _copy(process[i].p()))
                for i in range(number + 1, process.size())
                if process[i].status() > 0 and process[i].isAncestor(number)
            ]
            self._decay = _copy(process[number].p()), products

    def decay_products(self, event: "pythia8mc.Event") -> list[tuple[int, float, float]]:
        """(PDG id, pt, eta) of the boson's decay products, moved along with its recoil."""
        number = _boson(event)
        if number is None or self._decay is None:
            return []
        before, products = self._decay
        boost = pythia8mc.RotBstMatrix()
        boost.bst(before, event[event[number].iBotCopyId()].p())
        found = []
        for pid, momentum in products:
            moved = _copy(momentum)
            moved.rotbst(boost)
            found.append((pid, moved.pT(), moved.eta()))
        return found

    def canVetoPT(self):  # noqa: D102
        return self._filter.shower is not None

    def scaleVetoPT(self):  # noqa: D102
        return self._filter.shower.scale

    def doVetoPT(self, position, event):  # noqa: D102
        if position == _RESONANCE_SHOWERS:
            return False
        shower = self._filter.shower
        accepted = (
            (shower.boson_pt_min <= 0 or boson_pt(event) >= shower.boson_pt_min)
            and (not shower.looks_at_decays or shower.accepts_decay(self.decay_products(event)))
            and shower.accepts(self.cluster(event))
        )
        return self._drops(accepted, last=True)

    def _drops(self, accepted: bool, last: bool) -> bool:
        """Count drops in a row; PYTHIA itself would go on for ever."""
        if not accepted:
            self._dropped += 1
            if self._dropped >= MAX_DROPPED:
                raise StatisticsError(
                    f"filter and cuts of the process dropped {MAX_DROPPED} events in a row; "
                    "loosen them, or cut the phase space of the hard process"
                )
        elif last:
            self._dropped = 0
        return not accepted

    def cluster(self, event: "pythia8mc.Event") -> list[tuple[float, float, float, float]]:
        """(pt, y, phi, m) of the partons' jets, by falling pT."""
        jets = self._jets
        jets.analyze(event)
        return [(jets.pT(i), jets.y(i), jets.phi(i), jets.m(i)) for i in range(jets.sizeJet())]


def make_hook(event_filter: PartonFilter, cuts: PhaseSpace) -> FilterHook | None:
    """A hook for a filter and cuts, None if they accept everything: an idle hook costs time."""
    idle = (event_filter, cuts) == (PartonFilter(), PhaseSpace())
    return None if idle else FilterHook(event_filter, cuts)


def filter_settings(event_filter: PartonFilter) -> list[str]:
    """PYTHIA settings that a filter needs: a W boson yet to decay is no jet."""
    return [] if event_filter.shower is None else [f"{_W_BOSON}:isVisible = off"]


def invisible_pt(process: "pythia8mc.Event") -> float:
    """PT of the vector sum of the invisible final particles of a hard process, in GeV."""
    px = py = 0.0
    for number in range(process.size()):
        particle = process[number]
        if abs(particle.id()) in INVISIBLE and particle.status() > 0:
            px += particle.px()
            py += particle.py()
    return math.hypot(px, py)


def outgoing_partons(process: "pythia8mc.Event") -> list[tuple[float, float]]:
    """(pt, eta) of the outgoing quarks and gluons of a hard process, pt in GeV."""
    particles = (process[number] for number in range(process.size()))
    return [
        (particle.pT(), particle.eta())
        for particle in particles
        if particle.status() > 0 and (particle.isQuark() or particle.isGluon())
    ]


def charged_leptons(process: "pythia8mc.Event") -> list[tuple[float, float, float]]:
    """(pt, eta, phi) of the charged leptons of a hard process, pt in GeV."""
    particles = (process[number] for number in range(process.size()))
    return [
        (particle.pT(), particle.eta(), particle.phi())
        for particle in particles
        if particle.status() > 0 and particle.isLepton() and particle.isCharged()
    ]


def boson_pt(event: "pythia8mc.Event") -> float:
    """PT of the hard process's W, Z or Higgs boson as it is by now, in GeV; 0 if there is none."""
    number = _boson(event)
    return 0.0 if number is None else event[event[number].iBotCopyId()].pT()


def _boson(event: "pythia8mc.Event") -> int | None:
    """Index of the first W, Z or Higgs boson that comes out of the hard process."""
    for number in range(_FIRST_OUTGOING, min(event.size(), _FIRST_OUTGOING + _MAX_OUTGOING)):
        if abs(event[number].id()) in BOSONS:
            return number
    return None


def _copy(momentum: "pythia8mc.Vec4") -> "pythia8mc.Vec4":
    return pythia8mc.Vec4(momentum.px(), momentum.py(), momentum.pz(), momentum.e())


def _delta_phi(first: float, second: float) -> float:
    return abs((first - second + math.pi) % (2 * math.pi) - math.pi)


def _pair_mass(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Invariant mass of two (pt, y, phi, m)."""
    transverse = [math.hypot(jet[0], jet[3]) for jet in (first, second)]
    product = transverse[0] * transverse[1] * math.cosh(first[1] - second[1])
    product -= first[0] * second[0] * math.cos(first[2] - second[2])
    return math.sqrt(max(first[3] ** 2 + second[3] ** 2 + 2 * product, 0.0))


def _build(kind: type, values: Mapping[str, Any], where: str) -> Any:
    known = {field.name: field for field in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}: unknown '{name}'; known are {', '.join(known)}")
        if isinstance(value, bool) or not isinstance(value, int | float | ShowerFilter | None):
            raise ConfigError(f"{where}.{name}: '{value}' is no number; give one")
    missing = [
        name for name, field in known.items() if field.default is MISSING and name not in values
    ]
    if missing:
        raise ConfigError(f"{where}: lacks {', '.join(missing)}; give them")
    return kind(**values)
