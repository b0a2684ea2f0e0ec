"""Names of the columns of events, and what Delphes calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import awkward as ak

BRANCHES = {
    "event_weight": "Event.Weight",
    "missing_et": "MissingET.MET",
    "missing_et_phi": "MissingET.Phi",
    "jet_pt": "Jet.PT",
    "jet_eta": "Jet.Eta",
    "jet_phi": "Jet.Phi",
    "jet_mass": "Jet.Mass",
    "jet_flavour": "Jet.Flavor",
    "jet_b_tag": "Jet.BTag",
    "jet_tau_tag": "Jet.TauTag",
    "tower_et": "Tower.ET",
    "tower_eta": "Tower.Eta",
    "tower_phi": "Tower.Phi",
    "track_pt": "Track.PT",
    "track_eta": "Track.Eta",
    "track_phi": "Track.Phi",
    "electron_pt": "Electron.PT",
    "electron_eta": "Electron.Eta",
    "electron_phi": "Electron.Phi",
    "muon_pt": "Muon.PT",
    "muon_eta": "Muon.Eta",
    "muon_phi": "Muon.Phi",
    "photon_pt": "Photon.PT",
    "photon_eta": "Photon.Eta",
    "photon_phi": "Photon.Phi",
}
"""Delphes branch of every column. Momenta, masses and energies in GeV, angles in rad."""

DERIVED = {
    "jet_n_constituents": ("jet_n_charged", "jet_n_neutrals"),
    "lepton_pt": ("electron_pt", "muon_pt"),
    "lepton_eta": ("electron_eta", "muon_eta"),
    "lepton_phi": ("electron_phi", "muon_phi"),
}
"""Columns made of two others: numbers are added, leptons are the electrons, then the muons."""

SCALARS = frozenset({"event_weight", "missing_et", "missing_et_phi"})
"""Columns with one value an event; every other column has a list an event."""

Events = Mapping[str, "ak.Array | np.ndarray"]
"""Columns of some events: arrays of shape (n,) for scalars, type n * var * number for lists."""
