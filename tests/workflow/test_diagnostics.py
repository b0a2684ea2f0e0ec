"""Shape uncertainties and diagnostics of the fits, where a study asks for them."""

import copy
import json

import pandas as pd
import pytest

from conftest import TINY
from cwolaflow.config.study import merge

DIAGNOSED = {
    "limits": {
        "systematics": {"jes": {"kind": "energy_scale", "size": 0.1, "classifiers": ["cnn_pj_lr"]}},
        "diagnostics": {
            "impacts": ["m_jj", "cnn_pj_lr"],
            "pulls": ["m_jj", "cnn_pj_lr"],
            "pseudo_experiments": {
                "analyses": ["m_jj"],
                "luminosity_fb": 36,
                "injected": [0, 0.1],
                "number": 10,
            },
        },
    }
}
JOBS = {
    "evaluate_systematic": 2,
    "set_score_limits": 2,
    "tabulate_limits": 1,
    "plot_limits": 1,
    "write_provenance": 1,
    "tabulate_impacts": 1,
    "tabulate_pulls": 1,
    "plot_pulls": 1,
    "run_pseudo_experiments": 1,
}
NEW = ("impacts.csv", "pulls.csv", "pseudo_experiments.csv", "coverage.csv", "figures/pulls_*")


@pytest.fixture(scope="module")
def diagnosed(finished):
    """The results of the tiny study with everything switched on; put back afterwards."""
    folder = finished.folder / "results/tiny"
    scores = {path: path.read_bytes() for path in folder.glob("train/*/*/*/*/scores.parquet")}
    finished.write_study(merge(copy.deepcopy(TINY), DIAGNOSED))
    try:
        assert finished.planned() == JOBS
        finished.run()
        assert {path: path.read_bytes() for path in scores} == scores
        yield folder
    finally:
        finished.write_study(TINY)
        finished.run()
        for pattern in NEW:
            for path in (folder / "summary").glob(pattern):
                path.unlink()


def test_the_score_of_the_images_has_the_energy_scale(diagnosed):
    path = diagnosed / "limits/cnn_pj_lr/supervised/lumiall/seed0/workspaces/lumi36.json"
    samples = json.loads(path.read_text())["channels"][0]["samples"]
    assert all("jes" in [m["name"] for m in sample["modifiers"]] for sample in samples)
    path = diagnosed / "limits/ann_h/supervised/lumiall/seed0/workspaces/lumi36.json"
    assert "jes" not in path.read_text()


def test_impacts(diagnosed):
    impacts = pd.read_csv(diagnosed / "summary/impacts.csv")
    assert list(impacts) == [
        "analysis", "supervision", "met_cut_gev", "luminosity_fb", "seed", "variation", "bins",
        "median_limit", "ratio_to_all",
    ]  # fmt: skip
    limits = pd.read_csv(diagnosed / "summary/limits.csv")
    full = impacts[impacts["variation"] == "all"]
    assert list(zip(full["analysis"], full["supervision"], strict=True)) == [
        ("m_jj", "none"), ("cnn_pj_lr", "supervised"), ("cnn_pj_lr", "cwola")
    ]  # fmt: skip
    for row in full.itertuples():
        same = limits[
            (limits["analysis"] == row.analysis)
            & (limits["supervision"] == row.supervision)
            & (limits["met_cut_gev"] == row.met_cut_gev)
        ]
        assert same["median"].item() == pytest.approx(row.median_limit, rel=1e-5)
    without = impacts[impacts["variation"] == "without_jes"]
    assert set(without["analysis"]) == {"cnn_pj_lr"}
    statistics = impacts[impacts["variation"] == "statistics_only"]
    assert (statistics["ratio_to_all"] <= 1).all()


def test_pulls(diagnosed):
    pulls = pd.read_csv(diagnosed / "summary/pulls.csv")
    assert pulls["pull"].abs().max() < 1e-3
    assert pulls["uncertainty"].between(0, 1.0001).all()
    assert set(pulls.loc[pulls["parameter"] == "jes", "analysis"]) == {"cnn_pj_lr"}
    assert (diagnosed / "summary/figures/pulls_lumi36.png").exists()


def test_pseudo_experiments(diagnosed):
    experiments = pd.read_csv(diagnosed / "summary/pseudo_experiments.csv")
    coverage = pd.read_csv(diagnosed / "summary/coverage.csv")
    assert len(experiments) == 2 * 10
    assert list(coverage["injected"]) == [0, 0.1]
    assert list(coverage["experiments"]) == [10, 10]
    assert (coverage["coverage"] >= 0.95 - 3 * coverage["coverage_error"]).all()
