"""Photons, electrons and muons, and the removal of objects that share a particle."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from cwolaflow.production.detector.flow import (
    NEUTRAL_HADRON,
    PHOTON,
    TRACK,
    FlowObjects,
    Measurement,
)
from cwolaflow.production.detector.geometry import (
    delta_r,
    offsets_of,
    pairs_within_events,
    sum_by,
)
from cwolaflow.production.detector.tracking import TRACK_CLASSES

# Card section by Delphes collection, in the order in which objects claim their particles.
COLLECTIONS = {"Photon": "photons", "Electron": "electrons", "Muon": "muons"}


@dataclass(frozen=True)
class Candidates:
    """Photons, electrons or muons of one list, in event order.

    Parameters
    ----------
    event : int64 array
    source : int64 array
        Index of the ECAL tower (photons) or of the track.
    flow : int64 array
        Index of the energy-flow object that a photon is; -1 for electrons and muons.
    pt, eta, phi : float64 arrays
        GeV.
    eta_exit : float64 array
        Of the exit point or tower.
    sum_charged, sum_neutral : float64 arrays
        Isolation sums, GeV.
    """

    event: np.ndarray
    source: np.ndarray
    flow: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    eta_exit: np.ndarray
    sum_charged: np.ndarray
    sum_neutral: np.ndarray

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.event)

    def take(self, mask: np.ndarray) -> "Candidates":
        """The candidates where ``mask`` is true."""
        return Candidates(*(getattr(self, field.name)[mask] for field in fields(self)))


def find_objects(
    collection: str,
    measurement: Measurement,
    efficiency: Callable[..., np.ndarray],
    cone: dict,
    rng: np.random.Generator,
) -> Candidates:
    """Photons, electrons or muons that are found and isolated.

    Parameters
    ----------
    collection : str
        ``Photon``, ``Electron`` or ``Muon``.
    measurement : Measurement
    efficiency : callable
        Of eta (exit point or tower) and ``pt``.
    cone : dict
        ``delta_r_max``, ``pt_min`` in GeV, and ``ratio_max`` of the sum to the object's pt.
    rng : numpy.random.Generator
    """
    found = _photons(measurement) if collection == "Photon" else _leptons(collection, measurement)
    probability = efficiency(found.eta_exit, pt=found.pt)
    found = found.take(rng.random(len(found)) < probability)
    charged, neutral = isolation_sums(found, measurement.flow, measurement.events, cone)
    isolated = charged + neutral <= cone["ratio_max"] * found.pt
    return replace(found, sum_charged=charged, sum_neutral=neutral).take(isolated)


def _photons(measurement: Measurement) -> Candidates:
    flow = measurement.flow
    index = np.flatnonzero(flow.kind == PHOTON)
    eta = flow.eta[index]
    return Candidates(
        event=flow.event[index],
        source=flow.source[index],
        flow=index,
        pt=flow.pt[index],
        eta=eta,
        phi=flow.phi[index],
        eta_exit=eta,
        sum_charged=np.zeros(len(index)),
        sum_neutral=np.zeros(len(index)),
    )


def _leptons(collection: str, measurement: Measurement) -> Candidates:
    particles = measurement.particles
    source = np.flatnonzero(measurement.tracks.species == TRACK_CLASSES.index(collection.lower()))
    owner = measurement.tracks.particle[source]
    # Muons come from the tracker, electrons from after the combination with the ECAL.
    measured = measurement.tracks if collection == "Muon" else measurement.flow_tracks
    return Candidates(
        event=particles.event[owner],
        source=source,
        flow=np.full(len(source), -1),
        pt=measured.pt[source],
        eta=particles.eta[owner],
        phi=particles.phi[owner],
        eta_exit=particles.eta_exit[owner],
        sum_charged=np.zeros(len(source)),
        sum_neutral=np.zeros(len(source)),
    )


def isolation_sums(
    candidates: Candidates, flow: FlowObjects, events: int, cone: dict
) -> tuple[np.ndarray, np.ndarray]:
    """Charged and neutral pt around each candidate.

    Electrons and muons never count, nor does the candidate itself.

    Parameters
    ----------
    candidates : Candidates
    flow : FlowObjects
    events : int
        Number of events of the batch.
    cone : dict
        ``delta_r_max``, and ``pt_min`` in GeV.

    Returns
    -------
    tuple of float64 array, shape (n_candidates,)
        GeV.
    """
    lepton = (flow.kind == TRACK) & np.isin(np.abs(flow.pid), (11, 13))
    counted = np.flatnonzero((flow.pt >= cone["pt_min"]) & ~lepton)
    mine, other = pairs_within_events(candidates.event, offsets_of(flow.event[counted], events))
    other = counted[other]
    distance = delta_r(candidates.eta[mine], candidates.phi[mine], flow.eta[other], flow.phi[other])
    inside = (distance <= cone["delta_r_max"]) & (candidates.flow[mine] != other)
    mine, other = mine[inside], other[inside]
    charged = flow.charge[other] != 0
    charged_sum = sum_by(mine, np.where(charged, flow.pt[other], 0), len(candidates))
    neutral_sum = sum_by(mine, np.where(charged, 0, flow.pt[other]), len(candidates))
    return charged_sum, neutral_sum


def remove_shared(
    found: dict[str, Candidates], measurement: Measurement
) -> tuple[dict[str, Candidates], np.ndarray]:
    """Drop objects that share a generator particle with an object of an earlier collection.

    A track is made of its particle, a photon or neutral hadron of all particles that hit its tower.

    Parameters
    ----------
    found : dict
        Candidates by collection, in order of precedence.
    measurement : Measurement

    Returns
    -------
    dict
        The candidates that stay.
    bool array, shape (n_flow_objects,)
        True where an energy-flow object is made of a claimed particle: its jet goes as a whole.
    """
    tracks, ecal = measurement.tracks, measurement.ecal
    claimed = np.zeros(len(measurement.particles), dtype=bool)
    unique = {}
    for collection, candidates in found.items():
        if collection == "Photon":
            unique[collection] = candidates
            claimed |= _mark(candidates.source, len(ecal.event))[ecal.tower_of_particle]
        else:
            unique[collection] = candidates.take(~claimed[tracks.particle[candidates.source]])
            claimed[tracks.particle[unique[collection].source]] = True
    return unique, _made_of(claimed, measurement)


def _made_of(claimed: np.ndarray, measurement: Measurement) -> np.ndarray:
    flow = measurement.flow
    towers_claimed = [
        _mark(towers.tower_of_particle[claimed], len(towers.event))
        for towers in (measurement.ecal, measurement.hcal)
    ]
    owners = {
        TRACK: claimed[measurement.tracks.particle],
        PHOTON: towers_claimed[0],
        NEUTRAL_HADRON: towers_claimed[1],
    }
    result = np.zeros(len(flow), dtype=bool)
    for kind, owner in owners.items():
        mine = flow.kind == kind
        result[mine] = owner[flow.source[mine]]
    return result


def _mark(towers: np.ndarray, count: int) -> np.ndarray:
    """Mask of ``count`` towers, and a last entry, always False, that index -1 (no tower) reads."""
    marked = np.zeros(count + 1, dtype=bool)
    marked[towers] = True
    marked[-1] = False
    return marked
