import awkward as ak
import numpy as np
import pytest
from detector_events import CARD, make_events, particle, toy_events
from scipy.stats import ks_2samp
from test_detector_objects import IDEAL

from cwolaflow.production.detector import read_card, simulate

COLLECTIONS = {
    "Event", "Track", "Tower", "Jet", "FatJet", "Photon", "Electron", "Muon", "MissingET", "ScalarHT",
}  # fmt: skip


@pytest.fixture(scope="module")
def card():
    return read_card(CARD)


@pytest.fixture(scope="module")
def output(card):
    return simulate(toy_events(400, seed=1), card, seed=2)


def test_collections(output):
    assert set(output) == COLLECTIONS
    for name, collection in output.items():
        assert len(collection) == 400
        for field in collection.fields:
            kind = ak.flatten(collection[field], axis=None).layout.dtype
            assert kind in (np.float32, np.int32, np.uint32, np.int64), (name, field)
    assert all(ak.all(ak.num(output[name]) == 1) for name in ("Event", "MissingET", "ScalarHT"))


def test_same_seed_same_result(card, output):
    again = simulate(toy_events(400, seed=1), card, seed=2)
    for name in COLLECTIONS:
        assert ak.array_equal(output[name], again[name]), name


def test_other_seed_other_result(card, output):
    other = simulate(toy_events(400, seed=1), card, seed=3)
    assert not np.array_equal(other["MissingET"].MET, output["MissingET"].MET)


def test_no_two_stages_share_random_numbers(card, output):
    changed = read_card(CARD, {"photons": {"isolation": {"ratio_max": 0.0}}})
    other = simulate(toy_events(400, seed=1), changed, seed=2)
    for name in ("Track", "Tower", "MissingET"):
        assert ak.array_equal(output[name], other[name])


def test_sorted_by_pt(output):
    for name in ("Jet", "FatJet", "Photon", "Electron", "Muon"):
        pt = output[name].PT
        assert ak.all(pt[:, :-1] >= pt[:, 1:])


def test_ranges(output):
    assert ak.all(output["Jet"].PT > 21)  # 20 GeV before the energy scale
    assert ak.all(output["FatJet"].PT >= 200)
    assert ak.all(abs(output["Track"].EtaOuter) <= 2.5)
    assert ak.all(abs(output["Tower"].Eta) <= 5)
    assert ak.all((output["Tower"].Eem > 0) != (output["Tower"].Ehad > 0))
    for name in ("Jet", "Tower", "Track", "MissingET"):
        assert ak.all(abs(output[name].Phi) <= np.float32(np.pi) + 1e-6)


def test_massless_towers(output):
    towers = output["Tower"]
    np.testing.assert_allclose(
        ak.flatten(towers.E), ak.flatten(towers.ET * np.cosh(towers.Eta)), rtol=1e-4
    )


def test_missing_momentum_balances_an_ideal_event():
    ideal = read_card(CARD, IDEAL)
    visible = [particle(22, 80, eta=0.5, phi=0.4), particle(130, 60, eta=-1.0, phi=2.0, m=0.498)]
    hidden = [particle(12, 30, phi=1.0), particle(1000022, 10, phi=1.0, m=1), particle(4900211, 20)]
    found = simulate(make_events(visible + hidden), ideal, seed=1)["MissingET"]
    px = -sum(entry["px"] for entry in visible)
    py = -sum(entry["py"] for entry in visible)
    # The direction of a neutral object is known to a cell.
    assert found.MET[0, 0] == pytest.approx(np.hypot(px, py), rel=0.05)
    assert found.Phi[0, 0] == pytest.approx(np.arctan2(py, px), abs=0.1)


def test_muons_count_in_the_missing_momentum():
    ideal = read_card(CARD, IDEAL)
    found = simulate(make_events([particle(13, 70, phi=0.5, m=0.106)]), ideal, seed=1)
    assert found["MissingET"].MET[0, 0] == pytest.approx(70, rel=1e-3)
    assert np.mod(found["MissingET"].Phi[0, 0], 2 * np.pi) == pytest.approx(0.5 + np.pi, abs=1e-3)
    assert ak.num(found["Tower"])[0] == 0


def test_charged_particles_without_track_become_neutral(card):
    untracked = read_card(
        CARD,
        {
            **IDEAL,
            "tracking": {name: {"efficiency": [], "resolution": []} for name in IDEAL["tracking"]},
        },
    )
    found = simulate(
        make_events([particle(11, 50, m=5e-4)], [particle(211, 50, m=0.14)]), untracked, seed=1
    )
    assert ak.num(found["Photon"]).to_list() == [1, 0]
    assert ak.num(found["Jet"]).to_list() == [0, 1]
    assert ak.to_list(found["Jet"].NNeutrals[1]) == [1]
    assert ak.sum(ak.num(found["Track"])) == 0


def test_events_without_anything(card):
    found = simulate(make_events([], [particle(12, 50)], []), card, seed=1)
    assert ak.to_list(found["MissingET"].MET) == [[0], [0], [0]]
    for name in COLLECTIONS - {"Event", "MissingET", "ScalarHT"}:
        assert ak.num(found[name]).to_list() == [0, 0, 0]


def test_no_events(card):
    found = simulate(make_events(), card, seed=1)
    assert all(len(collection) == 0 for collection in found.values())


def test_no_fat_jets_if_the_card_has_none():
    card = read_card(CARD, {"fat_jets": None})
    assert set(simulate(toy_events(3, seed=1), card, seed=1)) == COLLECTIONS - {"FatJet"}


def test_events_do_not_mix(card):
    """Towers, tracks and jets of an event are those of its own particles, wherever it stands."""
    ideal = read_card(CARD, IDEAL)
    events = [
        [
            particle(130, 30 + 10 * k, eta=0.3 * k, phi=0.5 * k, m=0.5),
            particle(13, 20 + k, phi=k, m=0.1),
        ]
        for k in range(6)
    ]
    together = simulate(make_events(*events), ideal, seed=1)
    for k, event in enumerate(events):
        alone = simulate(make_events(event), ideal, seed=7)
        for name, field in (("Jet", "PT"), ("Track", "PT"), ("Tower", "E"), ("Muon", "PT")):
            np.testing.assert_allclose(
                together[name][field][k], alone[name][field][0], rtol=0.06, err_msg=f"{k} {name}"
            )


def test_rotation_about_the_beam_changes_no_distribution(card):
    plain = simulate(toy_events(1000, seed=4), card, seed=5)
    turned = simulate(toy_events(1000, seed=4, rotation=0.7), card, seed=6)
    for name, field in (
        ("MissingET", "MET"), ("Jet", "PT"), ("Jet", "Mass"), ("Tower", "ET"), ("Track", "PT"),
        ("ScalarHT", "HT"),
    ):  # fmt: skip
        values = [ak.to_numpy(ak.flatten(run[name][field])) for run in (plain, turned)]
        assert ks_2samp(*values).pvalue > 1e-3, (name, field)
    for name in ("Jet", "Tower", "Track"):
        counts = [ak.to_numpy(ak.num(run[name])) for run in (plain, turned)]
        assert ks_2samp(*counts).pvalue > 1e-3, name
    # Leading jets turn with the event.
    both = (ak.num(plain["Jet"]) > 0) & (ak.num(turned["Jet"]) > 0)
    turn = turned["Jet"].Phi[both][:, 0] - plain["Jet"].Phi[both][:, 0]
    turn = np.angle(np.exp(1j * ak.to_numpy(turn)))
    near = turn[np.abs(turn - 0.7) < 1.2]  # the same of the two jets leads
    assert len(near) > 0.6 * len(turn)
    assert np.median(near) == pytest.approx(0.7, abs=0.01)


def test_jet_charge_is_a_coin_without_tau(card, output):
    charge = ak.to_numpy(ak.flatten(output["Jet"].Charge))
    assert set(charge) == {-1, 1}
    assert abs(charge.mean()) < 4.5 / np.sqrt(len(charge))


def test_calorimeters_correct_electrons_and_hadrons_but_not_muons():
    """Rough tracks and exact calorimeters: whoever deposits gets back the right momentum."""
    rough = [{"abs_eta": [0, 2.5], "pt": [0.1, None], "value": 0.1}]
    tracking = {name: {**tables, "resolution": rough} for name, tables in IDEAL["tracking"].items()}
    calorimeters = {
        name: {**settings, "significance_min": 5}
        for name, settings in IDEAL["calorimeters"].items()
    }
    card = read_card(CARD, {**IDEAL, "tracking": tracking, "calorimeters": calorimeters})

    def spread(pid, mass, name):
        found = simulate(make_events(*[[particle(pid, 50, m=mass)]] * 300), card, seed=1)
        assert np.std(found["Track"].PT) == pytest.approx(5, rel=0.2)
        assert ak.all(ak.num(found[name]) == 1)
        return np.std(found[name].PT)

    assert spread(11, 5e-4, "Electron") < 0.01
    assert spread(211, 0.14, "Jet") < 0.01
    assert spread(13, 0.106, "Muon") == pytest.approx(5, rel=0.2)


def test_energy_scale_goes_to_jets_only():
    settings = {"jets": {"energy_scale": "1.5 + 0*pt"}, "fat_jets": {"pt_min": 20}}
    found = simulate(
        make_events([particle(130, 50, eta=0.04, m=0.498)]), read_card(CARD, IDEAL | settings), 1
    )
    pt = found["FatJet"].PT[0, 0]
    assert pt == pytest.approx(50, rel=0.01)
    assert found["Jet"].PT[0, 0] == pytest.approx(1.5 * pt)
    assert found["ScalarHT"].HT[0, 0] == pytest.approx(1.5 * pt)
    assert found["MissingET"].MET[0, 0] == pytest.approx(pt)
