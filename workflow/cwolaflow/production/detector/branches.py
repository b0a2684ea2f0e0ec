"""Delphes' collections: jagged records with Delphes' field names and units."""

import awkward as ak
import numpy as np

from cwolaflow.production.detector.flow import Measurement
from cwolaflow.production.detector.jets import Jets
from cwolaflow.production.detector.objects import Candidates
from cwolaflow.production.detector.particles import GeneratorEvents

MM_PER_SECOND = 2.99792458e11


def jagged(
    fields: dict[str, np.ndarray], event: np.ndarray, events: int, order: np.ndarray | None = None
) -> ak.Array:
    """Flat columns as jagged records (events * objects); floats become float32.

    Parameters
    ----------
    fields : dict of array, shape (n,)
    event : int64 array, shape (n,)
        Event of each object.
    events : int
        Number of events.
    order : float64 array, shape (n,), optional
        Objects of an event are sorted by this, rising; without it they stay as they are.
    """
    keys = (event,) if order is None else (order, event)
    index = np.lexsort(keys)
    columns = {
        name: values[index].astype(np.float32 if values.dtype == np.float64 else values.dtype)
        for name, values in fields.items()
    }
    return ak.unflatten(ak.zip(columns), np.bincount(event, minlength=events))


def event_branches(generated: GeneratorEvents, first_event: int) -> ak.Array:
    """``Event``: one record an event."""
    index = np.arange(len(generated))
    return jagged(
        {"Number": first_event + index, "Weight": generated.weight}, index, len(generated)
    )


def track_branches(measurement: Measurement, generated: GeneratorEvents) -> ak.Array:
    """``Track``: as measured by the tracker; lengths in mm, times in s."""
    tracks, particles = measurement.tracks, measurement.particles
    owner = tracks.particle
    source = particles.index[owner]
    eta = particles.eta[owner]
    fields = {
        "PID": particles.pid[owner].astype(np.int32),
        "Charge": particles.charge[owner].astype(np.int32),
        "P": tracks.pt * np.cosh(eta),
        "PT": tracks.pt,
        "Eta": eta,
        "Phi": particles.phi[owner],
        "CtgTheta": np.sinh(eta),
        "Mass": particles.mass[owner],
        "EtaOuter": particles.eta_exit[owner],
        "PhiOuter": particles.phi_exit[owner],
        "T": generated.t[source] / MM_PER_SECOND,
        "X": generated.x[source],
        "Y": generated.y[source],
        "Z": generated.z[source],
        "TOuter": particles.exit_time[owner] / MM_PER_SECOND,
        "XOuter": particles.exit_x[owner],
        "YOuter": particles.exit_y[owner],
        "ZOuter": particles.exit_z[owner],
        "Xd": particles.closest_x[owner],
        "Yd": particles.closest_y[owner],
        "Zd": particles.closest_z[owner],
        "L": particles.path[owner],
        "D0": particles.d0[owner],
        "DZ": particles.closest_z[owner],
    }
    return jagged(fields, particles.event[owner], measurement.events)


def tower_branches(measurement: Measurement) -> ak.Array:
    """``Tower``: ECAL towers, then HCAL towers, that are above threshold."""
    parts = []
    for towers, name in ((measurement.ecal, "Eem"), (measurement.hcal, "Ehad")):
        stored = towers.energy > 0
        energy = towers.energy[stored]
        shares = {"Eem": np.zeros(len(energy)), "Ehad": np.zeros(len(energy)), name: energy}
        parts.append(
            {
                "event": towers.event[stored],
                "ET": energy / np.cosh(towers.eta[stored]),
                "Eta": towers.eta[stored],
                "Phi": towers.phi[stored],
                "E": energy,
                "T": towers.time[stored] / MM_PER_SECOND,
                **shares,
                "Etrk": towers.track_energy[stored],
            }
        )
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return jagged(joined, joined.pop("event"), measurement.events)


def jet_branches(
    jets: Jets,
    summary: dict[str, np.ndarray],
    events: int,
    tags: dict[str, np.ndarray] | None = None,
    keep: np.ndarray | None = None,
) -> ak.Array:
    """``Jet`` or ``FatJet``: sorted by falling pt.

    Parameters
    ----------
    jets : Jets
    summary : dict of array
        From the constituents; ``T`` in mm.
    events : int
        Number of events.
    tags : dict of array, optional
        Flavours and tags; wins over ``summary``.
    keep : bool array, shape (n_jets,), optional
        Jets to write; all if not given.
    """
    counts = {name: np.rint(summary[name]) for name in ("NCharged", "NNeutrals", "Charge")}
    fields = {
        "PT": jets.pt,
        "Eta": jets.eta,
        "Phi": jets.phi,
        "Mass": jets.mass,
        **summary,
        "T": summary["T"] / MM_PER_SECOND,
        **{name: values.astype(np.int32) for name, values in counts.items()},
        **(tags or {}),
    }
    keep = np.ones(len(jets), dtype=bool) if keep is None else keep
    fields = {name: values[keep] for name, values in fields.items()}
    return jagged(fields, jets.event[keep], events, order=-jets.pt[keep])


def object_branches(collection: str, candidates: Candidates, measurement: Measurement) -> ak.Array:
    """``Photon``, ``Electron`` or ``Muon``: sorted by falling pt."""
    fields = {"PT": candidates.pt, "Eta": candidates.eta, "Phi": candidates.phi}
    if collection == "Photon":
        fields["E"] = candidates.pt * np.cosh(candidates.eta)
        fields["T"] = measurement.ecal.time[candidates.source] / MM_PER_SECOND
    else:
        particles = measurement.particles
        owner = measurement.tracks.particle[candidates.source]
        fields["Charge"] = particles.charge[owner].astype(np.int32)
        fields["T"] = particles.exit_time[owner] / MM_PER_SECOND
        fields["D0"], fields["DZ"] = particles.d0[owner], particles.closest_z[owner]
    total = candidates.sum_charged + candidates.sum_neutral
    fields |= {
        "IsolationVar": total / candidates.pt,
        "IsolationVarRhoCorr": total / candidates.pt,
        "SumPtCharged": candidates.sum_charged,
        "SumPtNeutral": candidates.sum_neutral,
        "SumPtChargedPU": np.zeros(len(candidates)),
        "SumPt": total,
    }
    return jagged(fields, candidates.event, measurement.events, order=-candidates.pt)
