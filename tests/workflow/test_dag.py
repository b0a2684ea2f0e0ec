"""The whole DAG on real Delphes events: what comes out, and that it fits together."""

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from conftest import ROOT, TINY

SAMPLES = {"vbf_hinv": 127, "ggf_hinv": 72, "znunu_qcd": 63, "wlnu_qcd": 27}
CROSS_SECTION_FB = {
    "vbf_hinv": 3545 * 1.067 * 0.0404,
    "ggf_hinv": 1418 * 1.887 * 0.2536,
    "znunu_qcd": 32400 * 1.216 * 0.1268,
    "wlnu_qcd": 37800 * 1.214 * 0.1685,
}


@pytest.fixture(scope="module")
def results(finished):
    return finished.folder / "results/tiny"


@pytest.fixture(scope="module")
def events(results):
    return pd.concat(
        [pd.read_parquet(results / f"events/{name}.parquet") for name in SAMPLES], ignore_index=True
    )


def test_a_finished_run_has_nothing_left_to_do(finished):
    assert finished.planned() == {}


def test_cutflow(results):
    cutflow = pd.read_csv(results / "summary/cutflow.csv")
    assert list(cutflow) == ["sample", "cut", "events", "weighted_fb", "efficiency"]
    assert dict(cutflow.groupby("sample")["events"].last()) == SAMPLES
    first = cutflow[cutflow["cut"] == "all"].set_index("sample")
    assert set(first["events"]) == {300}
    for name, expected in CROSS_SECTION_FB.items():
        assert first["weighted_fb"][name] == pytest.approx(expected, rel=1e-5)


def test_event_weights_are_the_cross_section_of_what_passed(events):
    table = yaml.safe_load((ROOT / "resources/top_mass/ggf_hinv.yaml").read_text())
    for name, passed in SAMPLES.items():
        sample = events[events["sample"] == name]
        assert len(sample) == passed
        expected = np.full(passed, CROSS_SECTION_FB[name] / 300)
        if name == "ggf_hinv":
            # The table begins below the cut on missing E_T; its last bin is open.
            number = np.digitize(sample["missing_et"], table["edges"][:-1]) - 1
            expected *= np.array(table["weights"])[number]
        np.testing.assert_allclose(sample["weight_fb"], expected, rtol=1e-6)


def test_images_hold_the_transverse_energy_of_the_event_table(results, events):
    for name in SAMPLES:
        images = pq.read_table(results / f"images/pj_lr/{name}.parquet").to_pandas()
        table = events[events["sample"] == name]
        assert np.array_equal(images["event_id"], table["event_id"])
        np.testing.assert_allclose(images["value"].map(np.sum), table["ht_eta_500"], rtol=1e-5)


def test_every_event_is_scored_once_per_training(results, events):
    folders = sorted((results / "train").glob("*/*/lumi*/seed*"))
    assert len(folders) == 6
    for folder in folders:
        scores = pd.read_parquet(folder / "scores.parquet")
        keys = ["sample", "event_id", "fold", "weight_fb"]
        pd.testing.assert_frame_equal(scores[keys], events[keys])
        assert scores["score"].between(0, 1).all()
        training = json.loads((folder / "training.json").read_text())
        assert (
            training["parameters"]
            == {"ann_h": 2790, "cnn_pj_lr": 1182590, "part": 9523}[folder.parts[-4]]
        )


def test_metrics(results):
    metrics = pd.read_csv(results / "summary/metrics.csv")
    assert list(metrics) == [
        "classifier",
        "supervision",
        "decay_products",
        "augmentation",
        "luminosity_fb",
        "seed",
        "n_m1",
        "n_m2",
        "n_train",
        "auc_mixed",
        "auc",
        "accuracy",
        "n_test_signal",
        "n_test_background",
        "published_auc",
        "published_auc_std",
        "auc_no_signal",
        "f1",
        "f2",
        "auc_mixed_implied",
        "auc_mixed_excess",
    ]
    assert len(metrics) == 6
    assert metrics["auc"].between(0, 1).all()
    assert set(metrics["n_test_signal"]) == {127 + 72}
    assert set(metrics["n_test_background"]) == {63 + 27}
    assert (
        metrics["luminosity_fb"].isna().tolist()
        == (metrics["supervision"] == "supervised").tolist()
    )


def test_limits(results):
    limits = pd.read_csv(results / "summary/limits.csv")
    assert list(limits) == [
        "analysis",
        "supervision",
        "met_cut_gev",
        "luminosity_fb",
        "seed",
        "median",
        "minus_2sigma",
        "minus_1sigma",
        "plus_1sigma",
        "plus_2sigma",
        "published_median",
        "published_minus_1sigma",
        "published_plus_1sigma",
    ]
    assert len(limits) == 4 + 6
    bands = limits[["minus_2sigma", "minus_1sigma", "median", "plus_1sigma", "plus_2sigma"]]
    assert (bands.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    published = limits.set_index(["analysis", "supervision", "met_cut_gev"])["published_median"]
    assert published["m_jj", "none", 250] == 0.226
    assert published["delta_eta_jj", "none", 200] == 0.162
    assert published["cnn_pj_lr", "supervised", 200] == 0.078
    # Published are trainings with labels.
    assert math.isnan(published["cnn_pj_lr", "cwola", 200])


def test_pyhf_reproduces_a_limit_from_its_workspace(results):
    folder = results / "limits/m_jj"
    (limit,) = json.loads((folder / "limits.json").read_text())
    command = [sys.executable, "-c", "from pyhf.cli import cli; cli()", "cls"]
    for position, band in enumerate(
        ("minus_2sigma", "minus_1sigma", "median", "plus_1sigma", "plus_2sigma")
    ):
        answer = subprocess.run(
            [*command, str(folder / "workspaces/lumi36.json"), "--test-poi", str(limit[band])],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(answer.stdout)["CLs_exp"][position] == pytest.approx(0.05, rel=5e-3)


def test_figures_are_there_in_both_formats(results):
    figures = results / "summary/figures"
    names = {path.stem for path in figures.glob("*.pdf")}
    assert names == {path.stem for path in figures.glob("*.png")}
    assert {"limits", "cutflow", "images_pj_lr", "feature_m_jj_lumi36"} <= names
    assert {"roc_supervised", "roc_cwola", "controls", "flavours"} <= names
    assert "reweighting_ggf_hinv" in names
    assert {"score_supervised", "score_cwola"} <= names
    assert len(names) == 10 + 2


def test_the_same_config_gives_the_same_bytes(finished, results):
    folder = results / "train/part/cwola/lumi36/seed123"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    finished.run(
        str((folder / "scores.parquet").relative_to(finished.folder)),
        str((folder / "metrics.json").relative_to(finished.folder)),
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    finished.run()


def test_the_report_is_one_file_with_captions(finished):
    finished.run("--report", "report.html")
    report = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "median expected upper limit" in report
    assert "data:image/png" in report


def test_a_study_without_limits_plans_none(fresh):
    fresh.write_study({**TINY, "limits": None})
    planned = fresh.planned()
    assert {"tabulate_metrics", "tabulate_cutflow", "plot_roc", "write_provenance"} <= set(planned)
    assert not [rule for rule in planned if "limit" in rule]
    assert fresh.planned("limits") == {}
