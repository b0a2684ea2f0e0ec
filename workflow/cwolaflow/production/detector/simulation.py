"""The detector: generator events in, Delphes collections out."""

import awkward as ak
import numpy as np

from cwolaflow.production.detector.branches import (
    event_branches,
    jagged,
    jet_branches,
    object_branches,
    tower_branches,
    track_branches,
)
from cwolaflow.production.detector.calorimeter import measure
from cwolaflow.production.detector.card import DetectorCard
from cwolaflow.production.detector.flow import Measurement, merge_flow, missing_momentum
from cwolaflow.production.detector.geometry import sum_by
from cwolaflow.production.detector.jets import (
    Jets,
    cluster,
    constituent_summary,
    parton_flavour,
    tag,
    tau_charge,
)
from cwolaflow.production.detector.objects import COLLECTIONS, find_objects, remove_shared
from cwolaflow.production.detector.particles import GeneratorEvents
from cwolaflow.production.detector.propagation import propagate
from cwolaflow.production.detector.tracking import reconstruct_tracks

# A stream of random numbers each, so that a change of one leaves the draws of the others alone.
_STREAMS = ("tracking", "ecal", "hcal", *COLLECTIONS, "b_tag", "tau_tag", "jet_charge")


def simulate(
    generated: GeneratorEvents, card: DetectorCard, seed: int, first_event: int = 0
) -> dict[str, ak.Array]:
    """Pass a batch of generator events through the detector.

    The chain of modules is that of Delphes' CMS card (J. de Favereau et al., arXiv:1307.6346).

    Parameters
    ----------
    generated : GeneratorEvents
    card : DetectorCard
    seed : int
        Of all random draws: the same seed, card and batch give the same result.
    first_event : int
        ``Event.Number`` of the first event.

    Returns
    -------
    dict of awkward.Array
        Jagged record arrays (events * objects) by Delphes' collection, with Delphes' field names
        and units: ``Event``, ``Track``, ``Tower``, ``Jet``, ``FatJet`` (if the card has any),
        ``Photon``, ``Electron``, ``Muon``, ``MissingET``, ``ScalarHT``.
    """
    streams = np.random.SeedSequence(seed).spawn(len(_STREAMS))
    rng = {
        name: np.random.default_rng(stream) for name, stream in zip(_STREAMS, streams, strict=True)
    }
    measurement = measure_batch(generated, card, rng)
    events, flow = measurement.events, measurement.flow

    found = {
        collection: find_objects(
            collection,
            measurement,
            card.efficiency[section],
            card.settings[section]["isolation"],
            rng[collection],
        )
        for collection, section in COLLECTIONS.items()
    }
    unique, shared = remove_shared(found, measurement)

    raw = cluster(flow, events, card.settings["jets"]["radius"], card.settings["jets"]["pt_min"])
    jets = raw.scaled(card.energy_scale(pt=raw.pt, eta=raw.eta))
    keep = raw.sum(shared.astype(np.float64)) == 0
    tags = _tags(jets, generated, card, rng)

    output = {
        "Event": event_branches(generated, first_event),
        "Track": track_branches(measurement, generated),
        "Tower": tower_branches(measurement),
        "Jet": jet_branches(jets, constituent_summary(raw, flow), events, tags, keep),
    }
    if card.settings["fat_jets"]:
        fat = cluster(
            flow, events, card.settings["fat_jets"]["radius"], card.settings["fat_jets"]["pt_min"]
        )
        output["FatJet"] = jet_branches(fat, constituent_summary(fat, flow), events)
    for collection, candidates in unique.items():
        output[collection] = object_branches(collection, candidates, measurement)
    scalar_sum = sum_by(jets.event[keep], jets.pt[keep], events)
    for candidates in unique.values():
        scalar_sum += sum_by(candidates.event, candidates.pt, events)
    every = np.arange(events)
    output["MissingET"] = jagged(missing_momentum(flow, events), every, events)
    output["ScalarHT"] = jagged({"HT": scalar_sum}, every, events)
    return output


def measure_batch(
    generated: GeneratorEvents, card: DetectorCard, rng: dict[str, np.random.Generator]
) -> Measurement:
    """Tracks, towers and energy flow of a batch.

    Parameters
    ----------
    generated : GeneratorEvents
    card : DetectorCard
    rng : dict
        Generators ``tracking``, ``ecal`` and ``hcal``.
    """
    particles = propagate(generated, card.settings["particles"], card.settings["propagation"])
    tracks = reconstruct_tracks(particles, card.tracking, rng["tracking"])
    ecal, ecal_tracks = measure(particles, tracks, card.calorimeters["ecal"], rng["ecal"])
    hcal, flow_tracks = measure(particles, ecal_tracks, card.calorimeters["hcal"], rng["hcal"])
    flow = merge_flow(particles, flow_tracks, ecal, hcal)
    return Measurement(len(generated), particles, tracks, flow_tracks, ecal, hcal, flow)


def _tags(
    jets: Jets, generated: GeneratorEvents, card: DetectorCard, rng: dict
) -> dict[str, np.ndarray]:
    flavour = parton_flavour(jets, generated, card.settings["flavour"])
    tau = tau_charge(jets, generated, card.settings["tau_tag"])
    tau_flavour = np.where(tau != 0, 15, 0)
    b_tag, _ = tag(flavour, jets, card.b_tag, rng["b_tag"])
    tau_tag, tau_efficiency = tag(tau_flavour, jets, card.tau_tag, rng["tau_tag"])
    # Delphes gives a jet without tau a random charge.
    coin = np.where(rng["jet_charge"].random(len(jets)) > 0.5, 1, -1)
    return {
        "Flavor": flavour.astype(np.uint32),
        "TauFlavor": tau_flavour.astype(np.uint32),
        "BTag": b_tag.astype(np.uint32),
        "TauTag": tau_tag.astype(np.uint32),
        "TauWeight": tau_efficiency,
        "Charge": np.where(tau != 0, tau, coin).astype(np.int32),
    }
