from dataclasses import replace

import awkward as ak
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import vector

from cwolaflow.delphes import DelphesFile
from cwolaflow.errors import InputError, StatisticsError
from cwolaflow.kinematics import wrap_phi
from cwolaflow.representation.events import build_event_table, skim_columns
from cwolaflow.representation.feature_groups import FEATURE_GROUPS, RADIATION_ETA_MAX
from cwolaflow.representation.features import features
from cwolaflow.selection.skim import ALWAYS_NEEDED, skim_files
from delphes_writer import Event, Jet, to_columns, write_delphes

SAMPLE = {
    "sample": "vbf",
    "process": "vbf_hinv",
    "cross_section_pb": 0.5,
    "k_factor": 1,
    "branching_fraction": 1,
    "filter_efficiency": 1,
}
GOOD = Event(
    jets=[Jet(200, 2, 0.25, 0, 21), Jet(100, -2, -0.25, 0, 1)],
    missing_et=300,
    missing_et_phi=3.0,
    towers=[(10, 0.5, 0), (20, -1.2, 1), (30, 1.27, 2), (40, -4.9, 3), (50, 5.5, 0)],
)

VBF = Event(
    jets=[
        Jet(200, 2, 0, n_charged=9, n_neutrals=2),
        Jet(100, -1, -3.1, n_charged=3, n_neutrals=5),
        Jet(60, 0.5, 1),
        Jet(40, 3, 2),
        Jet(30, -0.75, 2),
        Jet(26, -1, 1),
    ],
    photons=[(40, 0, 1), (40, 0, 2), (5, 3, 0)],
    electrons=[(15, 1, 1)],
    muons=[(40, 0, 1), (40, 0, 2)],
    towers=[(30, 2.1, 0), (10, 2, 0.3), (50, 2.5, 0), (7, -1, 3.1), (9, 0, 1)],
)


def _events(path):
    with DelphesFile(path) as file:
        [(_, events)] = file.chunks(file.columns, 1000)
    return events


def test_names_and_groups():
    assert len(FEATURE_GROUPS["kinematic"]) == 8
    assert FEATURE_GROUPS["radiation"][:3] == ("ht_eta_100", "ht_eta_127", "ht_eta_153")
    assert FEATURE_GROUPS["radiation"][-1] == "ht_eta_500"
    assert len(FEATURE_GROUPS["radiation"]) == 16
    first, further = (
        [name for group in groups for name in FEATURE_GROUPS[group]]
        for groups in (("kinematic", "radiation"), ("vbf_jets", "vbf_higgs"))
    )
    assert list(features(to_columns([GOOD]))) == first
    values = features(to_columns([VBF]), ("vbf_jets", "vbf_higgs"), {"photons": 2})
    assert list(values) == list(dict.fromkeys(first + further))


def test_features_by_hand():
    values = {name: float(v[0]) for name, v in features(to_columns([GOOD])).items()}
    assert values["delta_eta_jj"] == 4
    assert values["delta_phi_jj"] == 0.5
    # Massless jets: m² = 2 · 200 · 100 · (cosh 4 − cos 0.5).
    assert values["m_jj"] == pytest.approx(np.sqrt(40000 * (np.cosh(4) - np.cos(0.5))), rel=1e-6)
    assert values["missing_et"] == 300
    assert values["missing_et_phi"] == 3
    assert values["delta_phi_met_j1"] == 2.75
    assert values["delta_phi_met_j2"] == pytest.approx(2 * np.pi - 3.25)
    # The sum of the jets points to tan φ = (200 − 100) sin 0.25 / (300 cos 0.25).
    phi_jj = np.arctan(np.tan(0.25) / 3)
    assert values["delta_phi_met_jj"] == pytest.approx(3 - phi_jj, rel=1e-6)
    assert values["ht_eta_100"] == 10
    assert values["ht_eta_127"] == 30
    assert values["ht_eta_153"] == values["ht_eta_473"] == 60
    assert values["ht_eta_500"] == 100


def test_features_of_tagging_jets_by_hand():
    values = {name: v[0] for name, v in features(to_columns([VBF]), ("vbf_jets",)).items()}
    assert values["delta_eta_jj"] == 3
    assert (values["jet1_pt"], values["jet2_pt"]) == (200, 100)
    assert (values["jet1_abs_eta"], values["jet2_abs_eta"]) == (2, 1)
    assert values["eta_sign_jj"] == -1
    assert (values["n_further_jets"], values["further_jets_pt"]) == (4, 156)
    # The last jet is as far out as the second: not between the two.
    assert (values["n_central_jets"], values["central_jets_pt"]) == (2, 90)
    assert (values["jet1_n_constituents"], values["jet2_n_constituents"]) == (11, 8)
    # ΔR of 0.1 and 0.3; the tower at 0.5 is outside.
    assert values["jet1_girth"] == pytest.approx((30 * 0.1 + 10 * 0.3) / 40, rel=1e-6)
    assert values["jet2_girth"] == pytest.approx(2 * np.pi - 6.2, rel=1e-5)


@pytest.mark.parametrize("decay_products", [{"photons": 2}, {"leptons": 2}])
def test_features_of_the_higgs_boson_by_hand(decay_products):
    # Two equal momenta at φ = 1 and 2 and η = 0; the leptons are not sorted.
    values = {
        name: v[0]
        for name, v in features(to_columns([VBF]), ("vbf_higgs",), decay_products).items()
    }
    pt = 80 * np.cos(0.5)
    assert values["higgs_pt"] == pytest.approx(pt, rel=1e-6)
    assert values["higgs_centrality"] == pytest.approx(0.5, rel=1e-6)
    jj = 200 + 100 * np.exp(-3.1j)
    assert values["delta_phi_higgs_jj"] == pytest.approx(1.5 - np.angle(jj), rel=1e-6)
    balance = abs(pt * np.exp(1.5j) + jj) / (pt + 300)
    assert values["pt_balance"] == pytest.approx(balance, rel=1e-6)


def test_decay_products_of_both_kinds_are_added():
    events = to_columns([VBF])
    both = features(events, ("vbf_higgs",), {"photons": 1, "leptons": 1})
    # The hardest photon and the hardest lepton are the same momentum.
    assert both["higgs_pt"][0] == pytest.approx(80, rel=1e-6)


def test_features_that_an_event_lacks():
    few = replace(VBF, jets=VBF.jets[:1], photons=VBF.photons[:1], towers=[])
    values = features(to_columns([few, VBF]), ("vbf_jets", "vbf_higgs"), {"photons": 2})
    for name in (*FEATURE_GROUPS["vbf_jets"], *FEATURE_GROUPS["vbf_higgs"]):
        assert np.isfinite(values[name][1]), name
    assert values["jet1_girth"][0] == 0
    for name in ("jet2_girth", "eta_sign_jj", "higgs_pt", "pt_balance"):
        assert np.isnan(values[name][0]), name
    assert (values["n_further_jets"][0], values["n_central_jets"][0]) == (0, 0)


def test_features_of_vbf_do_not_know_where_phi_is_zero(diphoton_files):
    with DelphesFile(diphoton_files["vbf_haa"]) as file:
        [(_, events)] = file.chunks(file.columns | file.derived, 1000)
    two = (ak.num(events["jet_pt"]) > 1) & (ak.num(events["photon_pt"]) > 1)
    events = {name: values[two] for name, values in events.items()}
    turned = dict(events)
    for column in ("jet_phi", "tower_phi", "photon_phi"):
        turned[column] = wrap_phi(events[column] + np.float64(1.9))
    options = (("vbf_jets", "vbf_higgs"), {"photons": 2})
    before, after = features(events, *options), features(turned, *options)
    for name in (*FEATURE_GROUPS["vbf_jets"], *FEATURE_GROUPS["vbf_higgs"]):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("sample", ["vbf_hinv", "wlnu_qcd"])
def test_features_of_real_events_against_vector(delphes_files, sample):
    events = _events(delphes_files[sample])
    ours = features(events)
    names = ("pt", "eta", "phi", "mass")
    jets = ak.zip(
        {name: ak.values_astype(events[f"jet_{name}"], np.float64) for name in names},
        with_name="Momentum4D",
        behavior=vector.backends.awkward.behavior,
    )
    j1, j2 = jets[:, 0], jets[:, 1]
    missing = vector.array({"pt": events["missing_et"], "phi": events["missing_et_phi"]})
    expected = {
        "delta_eta_jj": abs(j1.deltaeta(j2)),
        "delta_phi_jj": abs(j1.deltaphi(j2)),
        "m_jj": (j1 + j2).mass,
        "delta_phi_met_j1": abs(j1.deltaphi(missing)),
        "delta_phi_met_j2": abs(j2.deltaphi(missing)),
        "delta_phi_met_jj": abs((j1 + j2).deltaphi(missing)),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(ours[name], values, rtol=2e-6, atol=1e-6, err_msg=name)


def test_radiation_is_the_energy_within_eta(delphes_files):
    for path in delphes_files.values():
        events = _events(path)
        ours = features(events)
        inside = abs(events["tower_eta"]) < 5
        total = ak.to_numpy(
            ak.sum(ak.values_astype(events["tower_et"][inside], np.float64), axis=1)
        )
        np.testing.assert_allclose(ours["ht_eta_500"], total, rtol=1e-6)
        sums = np.stack([ours[name] for name in FEATURE_GROUPS["radiation"]])
        assert np.all(np.diff(sums, axis=0) >= 0)
        assert len(RADIATION_ETA_MAX) == len(sums)


def test_only_phi_of_the_missing_momentum_knows_where_phi_is_zero(delphes_files):
    events = _events(delphes_files["ggf_hinv"])
    turned = dict(events)
    for column in ("jet_phi", "tower_phi", "missing_et_phi"):
        turned[column] = wrap_phi(events[column] + np.float64(1.9))
    before, after = features(events), features(turned)
    for name in before.keys() - {"missing_et_phi"}:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5, atol=1e-5, err_msg=name)
    moved = np.cos(after["missing_et_phi"] - before["missing_et_phi"] - 1.9)
    np.testing.assert_allclose(moved, 1, rtol=1e-5)


def _table(tmp_path, hinv, events, cuts=None, sample=SAMPLE, **select):
    skim = {**hinv["skim"], "cuts": hinv["skim"]["cuts"] if cuts is None else cuts}
    path = write_delphes(tmp_path / "a.root", events)
    cutflow = skim_files([path], skim, tmp_path / "s.parquet")
    select = {**hinv["select"], **select}
    return build_event_table(tmp_path / "s.parquet", cutflow, sample, "signal", select, 2008)


def test_event_table(tmp_path, hinv):
    failing = replace(GOOD, missing_et=10, weight=7)
    quarks = replace(GOOD, jets=[Jet(300, 2, 0), Jet(90, -1, 0.5, 1, 0)], weight=-2)
    table = _table(tmp_path, hinv, [failing, GOOD, quarks])
    assert table["event_id"].tolist() == [1, 2]
    assert table["sample"].tolist() == ["vbf", "vbf"]
    assert table["process"].tolist() == ["vbf_hinv", "vbf_hinv"]
    assert table["label"].tolist() == [1, 1]
    # Σw = 7 + 1 − 2 = 6 of all generated events; 500 events per fb⁻¹.
    np.testing.assert_allclose(table["weight_fb"], [500 / 6, -1000 / 6])
    assert table["flavour_category"].tolist() == ["1q1g", "2q0g"]
    assert table["region"].tolist() == ["SB", "SR"]
    assert table["jet1_pt"].tolist() == [200, 300]
    assert table["jet2_eta"].tolist() == [-2, -1]
    assert table["jet1_flavour"].tolist() == [21, 1]
    assert str(table["jet1_flavour"].dtype) == "int32"
    assert table["m_jj"][0] == features(to_columns([GOOD]))["m_jj"][0]
    types = {name: str(table[name].dtype) for name in ("event_id", "label", "weight_fb", "fold")}
    assert types == {"event_id": "int64", "label": "int8", "weight_fb": "float64", "fold": "int8"}


def test_event_table_of_real_events(tmp_path, hinv, delphes_files):
    tables = []
    for chunk_events in (50, 1000):
        skim = {**hinv["skim"], "chunk_events": chunk_events}
        cutflow = skim_files([delphes_files["ggf_hinv"]], skim, tmp_path / "s.parquet")
        tables.append(
            build_event_table(
                tmp_path / "s.parquet", cutflow, SAMPLE, "background", hinv["select"], 2008
            )
        )
    pd.testing.assert_frame_equal(*tables)
    table = tables[0]
    assert len(table) == 72
    assert table["weight_fb"].sum() == pytest.approx(500 * 72 / 300)
    assert set(table["label"]) == {0}
    assert set(table["region"]) == {"SR", "SB"}
    assert (table["region"] == "SR").equals(table["flavour_category"] == "2q0g")
    assert table["event_id"].is_monotonic_increasing


def test_weights_close_without_cuts(tmp_path, hinv, delphes_files):
    skim = {**hinv["skim"], "cuts": []}
    cutflow = skim_files([delphes_files["znunu_qcd"]], skim, tmp_path / "s.parquet")
    table = build_event_table(tmp_path / "s.parquet", cutflow, SAMPLE, "signal", hinv["select"], 1)
    assert table["weight_fb"].sum() * 36 == pytest.approx(0.5 * 1000 * 36)


def test_no_event_left(tmp_path, hinv):
    with pytest.raises(StatisticsError, match=r"sample vbf: none of its 2 .* the cut 'missing_et'"):
        _table(tmp_path, hinv, [replace(GOOD, missing_et=10)] * 2)


def test_a_feature_that_is_not_defined(tmp_path, hinv):
    cuts = [{"name": "met", "require": "missing_et > 200"}]
    events = [GOOD, replace(GOOD, jets=GOOD.jets[:1])]
    with pytest.raises(InputError, match=r"sample vbf: jet2_pt is nan in event_id 1;"):
        _table(tmp_path, hinv, events, cuts)


def test_the_skim_asks_for_what_the_event_table_reads():
    assert set(skim_columns({})) - {"event_id"} <= ALWAYS_NEEDED.keys()


def test_event_table_with_further_groups(tmp_path, diphoton_files, vbf_ggf):
    select = {key: vbf_ggf["select"][key] for key in ("folds", "regions", "unmatched_jets")}
    further = {"features": ["vbf_jets", "vbf_higgs"], "decay_products": {"photons": 2}}
    cutflow = skim_files([diphoton_files["vbf_haa"]], vbf_ggf["skim"], tmp_path / "s.parquet")
    plain, table = (
        build_event_table(tmp_path / "s.parquet", cutflow, SAMPLE, "signal", chosen, 1)
        for chosen in (select, select | further)
    )
    # Nothing else changes.
    pd.testing.assert_frame_equal(table[plain.columns], plain)
    names = {*FEATURE_GROUPS["vbf_jets"], *FEATURE_GROUPS["vbf_higgs"]}
    assert set(table) - set(plain) == names - set(plain)
    assert set(plain) & names == {"m_jj", "delta_eta_jj", "delta_phi_jj", "jet1_pt", "jet2_pt"}
    assert (table["jet1_n_constituents"] >= 5).all()
    assert table[["jet1_girth", "jet2_girth"]].to_numpy().max() < 0.4
    assert (table["higgs_pt"] > 0).all()
    assert (table["pt_balance"].between(0, 1)).all()


def test_a_skim_without_constituents_says_which_cut_keeps_them(tmp_path, hinv):
    with pytest.raises(InputError, match="no column 'jet_n_constituents'; let a cut"):
        _table(tmp_path, hinv, [GOOD], features=["vbf_jets"])


def test_a_missing_photon_is_named(tmp_path, hinv):
    cuts = [{"name": "met", "require": "missing_et > 200"}]
    higgs = {"features": ["vbf_higgs"], "decay_products": {"photons": 2}}
    with pytest.raises(InputError, match=r"higgs_pt is nan in event_id 0; .*decay_products"):
        _table(tmp_path, hinv, [GOOD], cuts, **higgs)


def test_a_skim_without_towers(tmp_path, hinv):
    _table(tmp_path, hinv, [GOOD])
    table = pq.read_table(tmp_path / "s.parquet").drop_columns("tower_et")
    pq.write_table(table, tmp_path / "s.parquet")
    cutflow = {"events": 1, "sum_of_weights": 1.0, "cuts": []}
    with pytest.raises(InputError, match=r"no column 'tower_et'; .* 'Tower\.ET'"):
        build_event_table(tmp_path / "s.parquet", cutflow, SAMPLE, "signal", hinv["select"], 2008)
