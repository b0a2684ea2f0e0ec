"""A jet-level network, and boosted trees on its scores, from real events to the metrics."""

import json

import pandas as pd
import pytest
import yaml
from test_transfer import HEADER, NETWORK, SAMPLES, TAGGER, configure

from conftest import Project
from cwolaflow.config.study import merge
from cwolaflow.tables import read_metrics

MODEL = {"name": "jet_cnn", "filters": [4], "residual_blocks": 0, "dense": [8]}
TREES = {
    "network": "bdt_jet_cnn",
    "input": {
        "features": ["vbf_jets"],
        "scores_of": {"classifier": "jet_cnn", "parts": 2},
    },
    "model": {
        "name": "gradient_boosting",
        "max_leaf_nodes": 4,
        "min_samples_leaf": 5,
        "l2_regularization": 1,
    },
    "training": {"learning_rate": 0.1, "max_iter": 20, "monitor": "loss"},
}
STUDY = merge(
    TAGGER,
    {
        "title": "jets",
        "published": None,
        "skim": {"cuts": [{"name": "jets", "require": "n_jet >= 2 and jet1_n_constituents >= 1"}]},
        "select": {"features": ["vbf_jets"]},
        "represent": {
            "sets": None,
            "jets": {
                "leading": {
                    "bins": 15,
                    "half_width": 0.5,
                    "removed_decay_products": {"photons": 2},
                }
            },
        },
        "classifiers": {
            "part_with": None,
            "part_without": None,
            "jet_cnn": {
                "input": {"jets": "leading"},
                "model": MODEL,
                "training": NETWORK["training"],
            },
            "bdt_jets": TREES,
        },
        "supervision": {
            "supervised": {"seeds": [1]},
            "cwola": {"seeds": [1]},
            "cwola_control": None,
        },
    },
)
KINDS = [
    (classifier, f"{supervision}/lumi{luminosity}/seed1")
    for classifier in ("jet_cnn", "bdt_jets")
    for supervision, luminosity in (("supervised", "all"), ("cwola", "300"))
]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("jets"))
    rows = (HEADER + SAMPLES["tagger"]).splitlines()
    table = "\n".join("\t".join(row.split()) for row in rows) + "\n"
    (project.folder / "config/samples/tagger.tsv").write_text(table)
    (project.folder / "config/studies/jets.yaml").write_text(yaml.safe_dump(STUDY))
    configure(project, "jets")
    return project


@pytest.fixture(scope="module")
def results(project):
    project.run("results/jets/summary/metrics.csv")
    return project.folder / "results/jets"


def test_trees_train_their_own_networks_from_the_jets(project):
    job = "results/jets/train/bdt_jets/cwola/lumi300/seed7"
    planned = project.planned(f"{job}/scores.parquet", "--forceall")
    assert planned["build_jet_images"] == 2
    # No other training: a classifier of its own has other events in its mixtures.
    assert (planned["train_classifier"], planned["evaluate_classifier"]) == (1, 1)


def test_metrics_of_both(results):
    metrics = read_metrics(results / "summary/metrics.csv")
    rows = metrics[metrics["seed"] == "1"]
    assert sorted(zip(rows["classifier"], rows["supervision"], strict=True)) == [
        ("bdt_jet_cnn", "cwola"),
        ("bdt_jet_cnn", "supervised"),
        ("jet_cnn", "cwola"),
        ("jet_cnn", "supervised"),
    ]
    assert set(rows["decay_products"]) == {"without"}
    assert rows["auc"].between(0.2, 1).all()


@pytest.mark.parametrize(("classifier", "job"), KINDS)
def test_test_events_are_scored(results, classifier, job):
    folder = results / "train" / classifier / job
    scores = pd.read_parquet(folder / "scores.parquet")
    assert set(scores["fold"]) == {1}
    assert scores["score"].between(0, 1).all()
    assert scores["score"].nunique() > 10
    overtraining = json.loads((folder / "metrics.json").read_text())["overtraining"]
    assert 0 <= overtraining["auc_train"] <= 1
    parameters = json.loads((folder / "training.json").read_text())["parameters"]
    # Normalisation 4, convolutions 76 and 148, dense layers 40 and 9; trees have two of them.
    network = 4 + 76 + 148 + 40 + 9
    assert parameters == network if classifier == "jet_cnn" else parameters > 2 * network


def test_settings_of_the_network_reach_the_trees(project, results):
    longer = {"classifiers": {"jet_cnn": {"training": {"max_epochs": 3}}}}
    path = project.folder / "config/studies/jets.yaml"
    path.write_text(yaml.safe_dump(merge(STUDY, longer)))
    try:
        planned = project.planned("results/jets/summary/metrics.csv")
    finally:
        path.write_text(yaml.safe_dump(STUDY))
    assert planned["train_classifier"] == 4
    assert "build_jet_images" not in planned
