"""Energy flow: tracks, photons and neutral hadrons of a batch of events."""

from dataclasses import dataclass

import numpy as np

from cwolaflow.production.detector.calorimeter import Towers
from cwolaflow.production.detector.geometry import pseudorapidity, sum_by
from cwolaflow.production.detector.propagation import StableParticles
from cwolaflow.production.detector.tracking import Tracks

TRACK, PHOTON, NEUTRAL_HADRON = 0, 1, 2


@dataclass(frozen=True)
class FlowObjects:
    """Energy-flow objects in event order.

    Parameters
    ----------
    event : int64 array
    kind : int64 array
        `TRACK`, `PHOTON` or `NEUTRAL_HADRON`.
    source : int64 array
        Index of the track, or of the tower (ECAL for photons, HCAL for neutral hadrons).
    pid, charge : int64 arrays
    pt, eta, phi, mass : float64 arrays
        GeV.
    time : float64 array
        At the calorimeter, c*t in mm.
    """

    event: np.ndarray
    kind: np.ndarray
    source: np.ndarray
    pid: np.ndarray
    charge: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    mass: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.event)

    def momenta(self) -> dict[str, np.ndarray]:
        """Cartesian four-vectors ``px``, ``py``, ``pz``, ``E`` in GeV."""
        momentum = self.pt * np.cosh(self.eta)
        return {
            "px": self.pt * np.cos(self.phi),
            "py": self.pt * np.sin(self.phi),
            "pz": self.pt * np.sinh(self.eta),
            "E": np.hypot(momentum, self.mass),
        }


@dataclass(frozen=True)
class Measurement:
    """What the detector measured of a batch, and how its parts hang together.

    Parameters
    ----------
    events : int
        Number of events.
    particles : StableParticles
    tracks : Tracks
        As the tracker measured them.
    flow_tracks : Tracks
        The same tracks after the combination with the calorimeters.
    ecal, hcal : Towers
    flow : FlowObjects
    """

    events: int
    particles: StableParticles
    tracks: Tracks
    flow_tracks: Tracks
    ecal: Towers
    hcal: Towers
    flow: FlowObjects


def merge_flow(
    particles: StableParticles, tracks: Tracks, ecal: Towers, hcal: Towers
) -> FlowObjects:
    """Tracks, photons and neutral hadrons as one list in event order."""
    owner = tracks.particle
    parts = [
        {
            "event": particles.event[owner],
            "source": np.arange(len(tracks)),
            "pid": particles.pid[owner],
            "charge": particles.charge[owner],
            "pt": tracks.pt,
            "eta": particles.eta[owner],
            "phi": particles.phi[owner],
            "mass": particles.mass[owner],
            "time": particles.exit_time[owner],
        }
    ]
    for towers, pid in ((ecal, 22), (hcal, 0)):
        source = np.flatnonzero(towers.neutral_energy > 0)
        parts.append(
            {
                "event": towers.event[source],
                "source": source,
                "pid": np.full(len(source), pid),
                "charge": np.zeros(len(source), np.int64),
                "pt": towers.neutral_energy[source] / np.cosh(towers.eta[source]),
                "eta": towers.eta[source],
                "phi": towers.phi[source],
                "mass": np.zeros(len(source)),
                "time": towers.time[source],
            }
        )
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    joined["kind"] = np.repeat(
        [TRACK, PHOTON, NEUTRAL_HADRON], [len(part["event"]) for part in parts]
    )
    order = np.argsort(joined["event"], kind="stable")
    return FlowObjects(**{name: values[order] for name, values in joined.items()})


def missing_momentum(flow: FlowObjects, events: int) -> dict[str, np.ndarray]:
    """Minus the vector sum of all energy-flow objects; MET in GeV, float64 of shape (events,)."""
    momenta = flow.momenta()
    px, py, pz = (-sum_by(flow.event, momenta[name], events) for name in ("px", "py", "pz"))
    met = np.hypot(px, py)
    return {"MET": met, "Eta": pseudorapidity(met, pz), "Phi": np.arctan2(py, px)}
