import awkward as ak
import numpy as np
import pytest
from detector_events import CARD, make_events, particle

from cwolaflow.production.detector import read_card, simulate
from cwolaflow.production.detector.flow import FlowObjects
from cwolaflow.production.detector.objects import Candidates, isolation_sums

CERTAIN = [{"abs_eta": [0, 2.5], "pt": [0.1, None], "value": 1}]
SHARP = [{"abs_eta": [0, 2.5], "pt": [0.1, None], "value": 1e-6}]
# A detector that loses nothing and measures almost exactly: what happens is known by hand.
IDEAL = {
    "tracking": {
        name: {"efficiency": CERTAIN, "resolution": SHARP}
        for name in ("charged_hadron", "electron", "muon")
    },
    "calorimeters": {
        name: {
            "energy_min": 0.01,
            "significance_min": 0,
            "resolution": [{"abs_eta": [0, 5], "value": "1e-6*energy"}],
        }
        for name in ("ecal", "hcal")
    },
    "photons": {"efficiency": CERTAIN},
    "electrons": {"efficiency": CERTAIN},
    "muons": {"efficiency": CERTAIN},
    "jets": {"energy_scale": 1},
}
PHOTON, ELECTRON, MUON, PION, KLONG = 22, 11, 13, 211, 130


@pytest.fixture(scope="module")
def ideal():
    return read_card(CARD, IDEAL)


def counts(output):
    return {name: ak.num(output[name]).to_list() for name in ("Photon", "Electron", "Muon", "Jet")}


def test_isolation_sum_by_hand():
    flow = FlowObjects(
        event=np.array([0, 0, 0, 0, 0, 0, 1]),
        kind=np.array([1, 0, 2, 0, 1, 0, 1]),
        source=np.arange(7),
        pid=np.array([22, 211, 0, 11, 22, -211, 22]),
        charge=np.array([0, 1, 0, -1, 0, -1, 0]),
        pt=np.array([50, 2.0, 3.0, 7.0, 0.4, 1.0, 9.0]),
        eta=np.array([1.0, 1.3, 1.0, 1.0, 1.0, 1.6, 1.0]),
        phi=np.array([3.1, 3.1, -3.1, 3.1, 3.1, 3.1, 3.1]),
        mass=np.zeros(7),
        time=np.zeros(7),
    )
    one = np.array([0.0])
    photon = Candidates(
        np.array([0]), np.array([0]), np.array([0]), one + 50, one + 1, one + 3.1, one + 1, one, one
    )
    charged, neutral = isolation_sums(photon, flow, 2, {"delta_r_max": 0.5, "pt_min": 0.5})
    # Not itself, not the electron, not the soft photon, not the pion at 0.6, not the other event.
    np.testing.assert_allclose([charged[0], neutral[0]], [2, 3])


def test_isolated_objects_take_their_jet_away(ideal):
    output = simulate(
        make_events(
            [particle(PHOTON, 50)],
            [particle(ELECTRON, 50, m=5e-4)],
            [particle(MUON, 50, m=0.1)],
            [particle(KLONG, 50, m=0.5)],
            [particle(PION, 50, m=0.14)],
        ),
        ideal,
        seed=1,
    )
    assert counts(output) == {
        "Photon": [1, 0, 0, 0, 0],
        "Electron": [0, 1, 0, 0, 0],
        "Muon": [0, 0, 1, 0, 0],
        "Jet": [0, 0, 0, 1, 1],
    }
    np.testing.assert_allclose(ak.flatten(output["ScalarHT"].HT), 50, rtol=0.05)


def test_lepton_inside_a_jet_stays_in_the_jet(ideal):
    around = [particle(KLONG, 40, eta=0.2, phi=1.0, m=0.5)]
    output = simulate(
        make_events(
            [particle(MUON, 50, phi=1.0, m=0.1), *around],
            [particle(ELECTRON, 50, phi=1.0, m=5e-4), *around],
            [particle(PHOTON, 50, phi=1.0), *around],
        ),
        ideal,
        seed=1,
    )
    assert counts(output) == {
        "Photon": [0, 0, 0],
        "Electron": [0, 0, 0],
        "Muon": [0, 0, 0],
        "Jet": [1, 1, 1],
    }
    assert np.all(ak.flatten(output["Jet"].PT) > 80)


def test_electrons_and_muons_do_not_spoil_isolation(ideal):
    output = simulate(
        make_events(
            [particle(MUON, 50, phi=1.0, m=0.1), particle(-MUON, 40, eta=0.2, phi=1.0, m=0.1)],
        ),
        ideal,
        seed=1,
    )
    assert counts(output)["Muon"] == [2]
    np.testing.assert_allclose(output["Muon"].IsolationVar[0], 0)


def test_muon_isolation_ratio_is_looser(ideal):
    def event(pid, mass):
        return [particle(pid, 50, phi=1.0, m=mass), particle(KLONG, 10, eta=0.2, phi=1.0, m=0.5)]

    output = simulate(make_events(event(MUON, 0.1), event(ELECTRON, 5e-4)), ideal, seed=1)
    assert counts(output)["Muon"] == [1, 0]
    assert counts(output)["Electron"] == [0, 0]
    assert output["Muon"].IsolationVar[0, 0] == pytest.approx(0.2, abs=0.01)
    assert output["Muon"].SumPtNeutral[0, 0] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(("photon_phi", "electrons"), [(0.005, 0), (1.0, 1)])
def test_photon_claims_the_electron_in_its_tower(ideal, photon_phi, electrons):
    # The electron is aimed so that the field bends it to phi = 0.005, into the cell of the photon.
    radius = 50 / (0.299792458e-3 * 3.8)
    aim = 0.005 - np.arcsin(1290 / (2 * radius))
    entries = [particle(ELECTRON, 50, 0.005, aim, m=5e-4), particle(PHOTON, 60, 0.005, photon_phi)]
    output = simulate(make_events(entries), ideal, seed=1)
    assert output["Track"].PhiOuter[0, 0] == pytest.approx(0.005, abs=1e-4)
    assert counts(output) == {"Photon": [1], "Electron": [electrons], "Muon": [0], "Jet": [0]}


def test_photon_below_threshold_is_not_found(ideal):
    card = read_card(
        CARD,
        {**IDEAL, "photons": {"efficiency": [{"abs_eta": [0, 2.5], "pt": [10, None], "value": 1}]}},
    )
    output = simulate(
        make_events(
            [particle(PHOTON, 9.9)], [particle(PHOTON, 10.1)], [particle(PHOTON, 50, eta=2.6)]
        ),
        card,
        seed=1,
    )
    assert counts(output)["Photon"] == [0, 1, 0]
