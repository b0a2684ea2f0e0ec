from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cwolaflow.config.study import read_study
from cwolaflow.delphes import DelphesFile
from cwolaflow.errors import ConfigError
from cwolaflow.kinematics import wrap_phi
from cwolaflow.selection.cutflow import count_cutflow, merge_cutflows
from cwolaflow.selection.preselection import Preselection
from delphes_writer import Event, Jet, to_columns

STUDIES = Path(__file__).parents[2] / "config/studies"
J1 = Jet(200, 2, 0.25)
J2 = Jet(100, -2, -0.25)
GOOD = Event(jets=[J1, J2], missing_et=300, missing_et_phi=3.0)


def above(value):
    return float(np.nextafter(np.float32(value), np.float32(np.inf)))


def below(value):
    return float(np.nextafter(np.float32(value), np.float32(-np.inf)))


def jets(first=J1, second=J2, *others, **event):
    return replace(GOOD, jets=[first, second, *others], **event)


def first_failure(skim, event):
    """Name of the first cut that the event fails; None if it passes all."""
    flow = Preselection(skim).apply(to_columns([event]))
    return next((cut for cut, passed in flow.items() if not passed[0]), None)


def objects(name, pt_edge, eta_edge):
    """Edges of a veto: (event, does it pass) for one object at each side of its acceptance."""
    make = {
        "electron_veto": lambda pt, eta: replace(GOOD, electrons=[(pt, eta, 1)]),
        "muon_veto": lambda pt, eta: replace(GOOD, muons=[(pt, eta, 1)]),
        "photon_veto": lambda pt, eta: replace(GOOD, photons=[(pt, eta, 1)]),
        "tau_veto": lambda pt, eta: jets(J1, J2, Jet(pt, eta, 1, tau_tag=1)),
        "b_veto": lambda pt, eta: jets(J1, J2, Jet(pt, eta, 1, b_tag=1)),
    }[name]
    return [
        (name, make(pt_edge, 0), True),
        (name, make(above(pt_edge), 0), False),
        (name, make(below(pt_edge), 0), True),
        (name, make(35, eta_edge), True),
        (name, make(35, above(eta_edge)), True),
        (name, make(35, below(eta_edge)), False),
        (name, make(35, -eta_edge), True),
        (name, make(35, -below(eta_edge)), False),
    ]


def m_jj_edges():
    """Massless jets back to back in η at Δφ = 0: m² = 2 pT1 pT2 (cosh Δη − 1)."""
    edge = 200**2 / (2 * 100 * (np.cosh(2) - 1))
    pair = [(Jet(100, 1, 0), Jet(edge * (1 + shift), -1, 0)) for shift in (-1e-6, 1e-6)]
    heavy = (Jet(100, 1, 0, mass=5), Jet(edge * (1 - 1e-6), -1, 0))
    return [
        ("m_jj", jets(*pair[0]), False),
        ("m_jj", jets(*pair[1]), True),
        ("m_jj", jets(*heavy), True),
    ]


EDGES = [
    ("jet_pt", jets(Jet(80, 2, 0.25), Jet(60, -2, -0.25)), False),
    ("jet_pt", jets(Jet(below(80), 2, 0.25), Jet(60, -2, -0.25)), False),
    ("jet_pt", jets(Jet(above(80), 2, 0.25), Jet(60, -2, -0.25)), True),
    ("jet_pt", jets(J1, Jet(40, -2, -0.25)), False),
    ("jet_pt", jets(J1, Jet(below(40), -2, -0.25)), False),
    ("jet_pt", jets(J1, Jet(above(40), -2, -0.25)), True),
    ("jet_pt", replace(GOOD, jets=[J1]), False),
    ("jet_pt", replace(GOOD, jets=[]), False),
    *objects("electron_veto", 10, 2.5),
    *objects("muon_veto", 10, 2.4),
    *objects("photon_veto", 15, 2.5),
    *objects("tau_veto", 18, 2.3),
    *objects("b_veto", 20, 2.5),
    ("missing_et", replace(GOOD, missing_et=200), False),
    ("missing_et", replace(GOOD, missing_et=below(200)), False),
    ("missing_et", replace(GOOD, missing_et=above(200)), True),
    ("min_delta_phi_met_jet", replace(GOOD, missing_et_phi=0.75), False),
    ("min_delta_phi_met_jet", replace(GOOD, missing_et_phi=below(0.75)), False),
    ("min_delta_phi_met_jet", replace(GOOD, missing_et_phi=above(0.75)), True),
    # The angle goes the short way round.
    ("min_delta_phi_met_jet", jets(J1, J2, Jet(35, 0, -3.0)), False),
    # Which jets count.
    ("min_delta_phi_met_jet", jets(J1, J2, Jet(30, 0, 3)), True),
    ("min_delta_phi_met_jet", jets(J1, J2, Jet(above(30), 0, 3)), False),
    ("min_delta_phi_met_jet", jets(J1, J2, Jet(35, 4.7, 3)), True),
    ("min_delta_phi_met_jet", jets(J1, J2, Jet(35, -below(4.7), 3)), False),
    ("min_delta_phi_met_jet", jets(J1, J2, Jet(35, 0, 0), Jet(34, 0, 3)), False),
    ("min_delta_phi_met_jet", jets(J1, J2, Jet(36, 0, 0), Jet(35, 0, 0), Jet(34, 0, 3)), True),
    ("min_delta_phi_met_jet", jets(J1, J2, Jet(36, 5, 0), Jet(35, 0, 0), Jet(34, 0, 3)), False),
    ("jet_eta", jets(Jet(200, 4.7, 0.25)), False),
    ("jet_eta", jets(Jet(200, above(4.7), 0.25)), False),
    ("jet_eta", jets(Jet(200, below(4.7), 0.25)), True),
    ("jet_eta", jets(second=Jet(100, -4.7, -0.25)), False),
    ("jet_eta", jets(second=Jet(100, -below(4.7), -0.25)), True),
    ("jet_eta", jets(Jet(200, 3.5, 0.25), Jet(100, -3, -0.25)), False),
    ("jet_eta", jets(Jet(200, 3.5, 0.25), Jet(100, -below(3), -0.25)), True),
    ("jet_eta", jets(Jet(200, -3, 0.25), Jet(100, 3.5, -0.25)), False),
    ("jet_eta", jets(Jet(200, -below(3), 0.25), Jet(100, 3.5, -0.25)), True),
    ("opposite_hemispheres", jets(second=Jet(100, 0, -0.25)), False),
    ("opposite_hemispheres", jets(second=Jet(100, 1e-3, -0.25)), False),
    ("opposite_hemispheres", jets(second=Jet(100, -1e-3, -0.25)), True),
    ("delta_phi_jj", jets(Jet(200, 2, 0.75), Jet(100, -2, -0.75)), False),
    ("delta_phi_jj", jets(Jet(200, 2, 0.75), Jet(100, -2, -0.750001)), False),
    ("delta_phi_jj", jets(Jet(200, 2, 0.75), Jet(100, -2, -0.749999)), True),
    ("delta_phi_jj", jets(Jet(200, 2, 3), Jet(100, -2, -3), missing_et_phi=0), True),
    ("delta_eta_jj", jets(Jet(400, 0.5, 0.25), Jet(300, -0.5, -0.25)), False),
    ("delta_eta_jj", jets(Jet(400, 0.5, 0.25), Jet(300, -0.499999, -0.25)), False),
    ("delta_eta_jj", jets(Jet(400, 0.5, 0.25), Jet(300, -0.500001, -0.25)), True),
    *m_jj_edges(),
]


@pytest.mark.parametrize(("cut", "event", "passes"), EDGES)
def test_edges_of_the_hinv_cuts(hinv, cut, event, passes):
    assert first_failure(hinv["skim"], event) == (None if passes else cut)


def test_every_cut_of_hinv_has_edges(hinv):
    assert {cut["name"] for cut in hinv["skim"]["cuts"]} == {cut for cut, _, _ in EDGES}
    assert len(hinv["skim"]["cuts"]) == 13
    assert first_failure(hinv["skim"], GOOD) is None


def diphoton(mass_shift=0.0, **event):
    """Two photons of 62.5 GeV back to back: m = 125 GeV, times 1 + mass_shift."""
    pt = 62.5 * (1 + mass_shift)
    return replace(GOOD, **{"photons": [(pt, 0.0, 1.0), (pt, 0.0, 1.0 - np.pi)], **event})


CONSTITUENTS = [
    (Jet(200, 2, 0.25, n_charged=c, n_neutrals=n), c + n >= 5)
    for c, n in ((5, 0), (0, 5), (2, 3), (4, 0), (2, 2))
]
PHOTON_EDGES = [
    ("photons", replace(GOOD, photons=[(62.5, 0, 1)]), False),
    ("jets", diphoton(jets=[J1]), False),
    ("m_photon_photon", diphoton(), True),
    ("m_photon_photon", diphoton(-0.0401), False),
    ("m_photon_photon", diphoton(-0.0399), True),
    ("m_photon_photon", diphoton(0.0399), True),
    ("m_photon_photon", diphoton(0.0401), False),
    # Boosted along the beam and in the transverse plane: m^2 = 2 pT1 pT2 (cosh 0.8 - cos 2).
    ("m_photon_photon", diphoton(photons=[(80, 1.9, 1), (55.8, 1.1, -1)]), True),
    ("m_photon_photon", diphoton(photons=[(80, 1.9, 1), (50, 1.1, -1)]), False),
    # The two hardest count.
    ("m_photon_photon", diphoton(photons=[(90, 0, 1), (62.5, 0, 1), (62.5, 0, 1 - np.pi)]), False),
    *(("jet_constituents", diphoton(jets=[jet, J2]), passes) for jet, passes in CONSTITUENTS),
    *(("jet_constituents", diphoton(jets=[J1, replace(jet, pt=90)]), p) for jet, p in CONSTITUENTS),
    # Only the two leading jets need constituents.
    ("jet_constituents", diphoton(jets=[J1, J2, Jet(50, 0, 0, n_charged=1, n_neutrals=0)]), True),
]


@pytest.mark.parametrize(("cut", "event", "passes"), PHOTON_EDGES)
def test_edges_of_the_photon_cuts(vbf_ggf, cut, event, passes):
    assert first_failure(vbf_ggf["skim"], event) == (None if passes else cut)


@pytest.mark.parametrize(
    ("study", "event", "failure"),
    [
        ("vbf_ggf_4l", {"electrons": [(20, 0, 0)] * 2, "muons": [(15, 1, 1)] * 2}, None),
        ("vbf_ggf_4l", {"electrons": [(20, 0, 0)] * 4}, None),
        ("vbf_ggf_4l", {"electrons": [(20, 0, 0)] * 3}, "leptons"),
        ("vbf_ggf_4l", {"muons": [(20, 0, 0)] * 5, "jets": [J1]}, "jets"),
        ("vbf_ggf_2la", {"electrons": [(20, 0, 0)] * 2, "photons": [(30, 1, 1)]}, None),
        ("vbf_ggf_2la", {"electrons": [(20, 0, 0)] * 2}, "photons"),
        ("vbf_ggf_2la", {"muons": [(20, 0, 0)], "photons": [(30, 1, 1)]}, "leptons"),
    ],
)
def test_leptons_of_the_other_channels(study, event, failure):
    assert (
        first_failure(read_study(STUDIES / f"{study}.yaml")["skim"], replace(GOOD, **event))
        == failure
    )


def _real_events(hinv, path):
    with DelphesFile(path) as file:
        [(_, events)] = file.chunks(file.columns, 1000)
    return events


def test_cuts_do_not_depend_on_where_phi_is_zero(hinv, delphes_files):
    preselection = Preselection(hinv["skim"])
    for path in delphes_files.values():
        events = _real_events(hinv, path)
        turned = dict(events)
        for column in ("jet_phi", "missing_et_phi"):
            turned[column] = wrap_phi(events[column] + np.float64(2.2))
        before, after = preselection.apply(events), preselection.apply(turned)
        assert all(np.array_equal(before[cut], after[cut]) for cut in before)


def test_cuts_do_not_depend_on_the_order_of_events(hinv, delphes_files):
    preselection = Preselection(hinv["skim"])
    events = _real_events(hinv, delphes_files["wlnu_qcd"])
    order = np.random.default_rng(1).permutation(300)
    before = preselection.apply(events)
    after = preselection.apply({name: values[order] for name, values in events.items()})
    assert all(np.array_equal(before[cut][order], after[cut]) for cut in before)


def test_cutflow_counts_and_weights(hinv):
    events = [
        replace(GOOD, weight=2),
        replace(GOOD, weight=-0.5),
        replace(GOOD, electrons=[(20, 0, 0)], weight=4),
        replace(GOOD, missing_et=100, weight=8),
    ]
    columns = to_columns(events)
    cutflow = count_cutflow(Preselection(hinv["skim"]).apply(columns), columns["event_weight"])
    rows = {row["cut"]: (row["events"], row["sum_of_weights"]) for row in cutflow["cuts"]}
    assert list(rows) == ["all", *(cut["name"] for cut in hinv["skim"]["cuts"])]
    assert (cutflow["events"], cutflow["sum_of_weights"]) == (4, 13.5) == rows["all"]
    assert rows["jet_pt"] == (4, 13.5)
    assert rows["electron_veto"] == rows["b_veto"] == (3, 9.5)
    assert rows["missing_et"] == rows["m_jj"] == (2, 1.5)
    merged = merge_cutflows([cutflow, cutflow])
    assert merged["cuts"][-1] == {"cut": "m_jj", "events": 4, "sum_of_weights": 3.0}
    with pytest.raises(ConfigError, match="different cuts"):
        merge_cutflows([cutflow, {**cutflow, "cuts": cutflow["cuts"][:-1]}])


def test_only_what_the_cuts_name_is_needed(hinv):
    skim = {**hinv["skim"], "cuts": [{"name": "met", "require": "missing_et > 1"}]}
    assert Preselection(skim).columns == {"missing_et": "the cut 'met'"}
    skim["cuts"].append({"name": "tau", "require": "n_tau_jet == 0"})
    assert Preselection(skim).columns.keys() == {"missing_et", "jet_pt", "jet_eta", "jet_tau_tag"}


def _with_cut(hinv, require, **changes):
    return {**hinv["skim"], "cuts": [{"name": "a", "require": require}], **changes}


@pytest.mark.parametrize(
    ("require", "changes", "message"),
    [
        ("m_jjj > 1", {}, r"skim\.cuts\.a: .*no column 'm_jjj'; did you mean 'm_jj'\?"),
        ("n_electrn == 0", {}, r"did you mean 'n_electron'\?"),
        ("m_jj + 1", {}, "no condition"),
        ("m_jj >", {}, r"skim\.cuts\.a"),
        (
            "n_x == 0",
            {"objects": {"x": {"collection": "electron"}}},
            r"skim\.objects\.x\.collection: no collection 'electron'; did you mean 'electrons'\?",
        ),
        (
            "n_x == 0",
            {"objects": {"x": {"collection": "muons", "tag": "b"}}},
            r"skim\.objects\.x\.tag: only jets are tagged",
        ),
        (
            "n_x == 0",
            {"objects": {"x": {"collection": "jets", "tag": "top"}}},
            r"skim\.objects\.x\.tag: no tag 'top'",
        ),
        (
            "min_delta_phi_met_jet > 0.5",
            {"met_isolation_jets": None},
            r"skim\.met_isolation_jets: missing",
        ),
    ],
)
def test_config_errors(hinv, require, changes, message):
    with pytest.raises(ConfigError, match=message):
        Preselection(_with_cut(hinv, require, **changes))


@pytest.mark.parametrize("name", ["all", "b"])
def test_names_of_cuts_are_unique(hinv, name):
    cuts = [{"name": "b", "require": "m_jj > 1"}, {"name": name, "require": "m_jj > 2"}]
    with pytest.raises(ConfigError, match=f"the name '{name}' is taken"):
        Preselection({**hinv["skim"], "cuts": cuts})
