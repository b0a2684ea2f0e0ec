"""Boosted decision trees: the same as scikit-learn's, and chosen on the validation events."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import ndtr
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score
from toys import CWOLA, event_table

from cwolaflow.errors import ConfigError
from cwolaflow.learning.boosting import fit_trees, last_iteration
from cwolaflow.learning.crossfit import (
    load_ensemble,
    save_ensemble,
    score_crossfit,
    score_training_events,
    train_crossfit,
)
from cwolaflow.learning.inputs import FeatureTable
from cwolaflow.learning.mixtures import TrainingSet
from cwolaflow.models import BoostedTrees, build_model, count_parameters
from cwolaflow.representation.feature_groups import FEATURE_GROUPS

torch.set_num_threads(1)

MODEL = {
    "name": "gradient_boosting",
    "max_leaf_nodes": 8,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
}
TRAINING = {"learning_rate": 0.1, "max_iter": 300, "monitor": "loss", "patience": 20}
CLASSIFIER = {"model": MODEL, "training": TRAINING}


def gaussians(n, separation, seed=1, n_features=2):
    """Features of two classes whose means are ``separation`` apart, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = rng.normal(size=(n, n_features))
    features += separation / math.sqrt(n_features) * labels[:, None]
    return features.astype(np.float32), labels.astype(np.float32)


def training_set(rows, labels, weights=None):
    weights = np.ones(len(rows)) if weights is None else weights[rows]
    return TrainingSet(rows, labels[rows], weights.astype(np.float32))


def fitted(features, labels, weights=None, training=TRAINING, model=MODEL, **options):
    """Fit on two thirds of the events; gives model, history, and the events that validated."""
    rows = np.arange(len(labels))
    train, valid = (
        training_set(rows[chosen], labels, weights) for chosen in (rows % 3 > 0, rows % 3 == 0)
    )
    trees = build_model(model, (features.shape[1],))
    inputs = FeatureTable(torch.from_numpy(features))
    return trees, fit_trees(trees, inputs, train, valid, training, 7, **options), (train, valid)


def logits_of(trees, features):
    return trees(torch.from_numpy(features)).numpy()[:, 0]


@pytest.mark.parametrize("options", [{}, {"max_leaf_nodes": 2}, {"max_leaf_nodes": None}])
def test_trees_are_evaluated_as_scikit_learn_does(options):
    features, labels = gaussians(3000, 1.0, n_features=4)
    theirs = HistGradientBoostingClassifier(max_iter=40, early_stopping=False, **options)
    theirs.fit(features, labels, sample_weight=np.linspace(0.1, 3, 3000))
    trees = [predictor.nodes for (predictor,) in theirs._predictors]
    ours = build_model(MODEL, (4,))
    ours.set_trees(float(theirs._baseline_prediction.item()), trees)
    thresholds = np.concatenate([nodes["num_threshold"][nodes["is_leaf"] == 0] for nodes in trees])
    rng = np.random.default_rng(5)
    asked = np.concatenate(
        [
            rng.normal(scale=3, size=(2000, 4)),
            rng.choice(thresholds, size=(2000, 4)),
            np.nextafter(rng.choice(thresholds, size=(500, 4)), np.inf),
            rng.choice([0.0, -0.0, 3.4e38, -3.4e38, 1e-300, -1e308], size=(500, 4)),
        ]
    )
    expected = theirs.decision_function(asked)
    assert len(np.unique(expected)) > 30
    np.testing.assert_allclose(logits_of(ours, asked), expected, rtol=0, atol=1e-12)
    assert count_parameters(ours) == sum(map(len, trees))


def test_without_trees_nothing_is_known():
    assert logits_of(build_model(MODEL, (3,)), np.ones((5, 3))).tolist() == [0.0] * 5


def test_a_constant_feature_gives_trees_of_one_leaf():
    labels = (np.arange(300) % 2).astype(np.float32)
    trees, history, _ = fitted(np.zeros((300, 1), np.float32), labels)
    assert trees.depth == 0
    assert history.best_epoch == 0
    np.testing.assert_allclose(logits_of(trees, np.ones((4, 1))), 0, atol=1e-12)


def test_trees_are_those_of_one_uninterrupted_fit():
    features, labels = gaussians(3000, 1.0)
    training = TRAINING | {"max_iter": 120}
    del training["patience"]
    trees, history, (train, _) = fitted(features, labels, training=training)
    theirs = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=history.best_epoch + 1,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
    ).fit(features[train.rows], train.labels)
    assert len(history.epochs) == 120
    np.testing.assert_allclose(
        logits_of(trees, features), theirs.decision_function(features), atol=1e-9
    )


@pytest.mark.parametrize(
    ("values", "patience", "expected"),
    [
        ([1, 2, 2, 1, 0, 5], 2, 3),
        ([1, 2, 3, 4], 1, None),
        ([4, 3], 1, 1),
        ([1, 1, 1], 3, None),
        ([1, 1, 1, 1], 3, 3),
        ([1, 0, 0, 0], None, None),
    ],
)
def test_patience_counts_iterations_without_a_better_one(values, patience, expected):
    assert last_iteration(np.array(values, float), patience) == expected


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "auc"])
def test_the_best_iteration_is_kept(monitor):
    features, labels = gaussians(1500, 1.0)
    training = TRAINING | {"monitor": monitor, "patience": 60, "learning_rate": 0.3}
    trees, history, (train, valid) = fitted(features, labels, training=training)
    values = history.epochs[f"valid_{monitor}"] * (-1 if monitor == "loss" else 1)
    assert history.best_epoch == np.argmax(values)
    assert len(trees.root) == history.best_epoch + 1
    assert len(history.epochs) == min(history.best_epoch + 61, 300)
    assert history.epochs["epoch"].tolist() == list(range(len(history.epochs)))
    # What is kept has the losses that the history says.
    best = history.epochs.iloc[history.best_epoch]
    for events, column in ((train, "train_loss"), (valid, "valid_loss")):
        score = 1 / (1 + np.exp(-logits_of(trees, features[events.rows])))
        assert best[column] == pytest.approx(log_loss(events.labels, score), rel=1e-6)
    logits = logits_of(trees, features[valid.rows]).astype(np.float32)
    assert best["valid_auc"] == pytest.approx(roc_auc_score(valid.labels, logits), abs=1e-9)
    assert best["valid_accuracy"] == pytest.approx(((logits > 0) == valid.labels).mean())


def test_training_goes_on_improving_where_validation_does_not():
    features, labels = gaussians(1500, 1.0)
    training = TRAINING | {"learning_rate": 0.3, "patience": 100}
    _, history, _ = fitted(features, labels, training=training)
    assert history.best_epoch < len(history.epochs) - 50
    assert history.epochs["train_loss"].is_monotonic_decreasing


def test_weights_count():
    features, labels = gaussians(6000, 2.0)
    # Half of the events have the wrong label; without weights nothing could be learned.
    is_wrong = np.random.default_rng(3).random(6000) < 0.5
    given = np.where(is_wrong, 1 - labels, labels).astype(np.float32)
    blind, *_ = fitted(features, given)
    told, *_ = fitted(features, given, weights=np.where(is_wrong, 1e-3, 1.0))
    fresh, truth = gaussians(6000, 2.0, seed=9)
    assert roc_auc_score(truth, logits_of(told, fresh)) > 0.9
    assert roc_auc_score(truth, logits_of(blind, fresh)) < 0.8


def test_a_common_factor_of_the_validation_weights_changes_nothing():
    features, labels = gaussians(1500, 1.0)
    rows = np.arange(1500)
    train, valid = training_set(rows[500:], labels), training_set(rows[:500], labels)
    heavier = TrainingSet(valid.rows, valid.labels, valid.weights * 8)
    inputs = FeatureTable(torch.from_numpy(features))
    one, other = (
        fit_trees(build_model(MODEL, (2,)), inputs, train, events, TRAINING, 7)
        for events in (valid, heavier)
    )
    pd.testing.assert_frame_equal(one.epochs, other.epochs)


POOLS = [
    ("vbf", 1, "SR", 6000, 50),
    ("vbf", 1, "SB", 3000, 10),
    ("z", 0, "SR", 4500, 50),
    ("z", 0, "SB", 4500, 90),
]


@pytest.fixture(scope="module")
def toy():
    """Two Gaussians √2 apart in two features, whose best possible AUC is Φ(1)."""
    events = event_table(POOLS)
    rng = np.random.default_rng(2)
    features = rng.normal(size=(len(events), 2)) + events["label"].to_numpy()[:, None]
    return events, FeatureTable(torch.from_numpy(features.astype(np.float32)))


def run(toy, luminosity_fb=None, supervision=None, threads=1, classifier=CLASSIFIER, folds=4):
    return train_crossfit(
        *toy, classifier, supervision or {}, luminosity_fb, 1, folds, 0.2, threads=threads, device="cpu"
    )  # fmt: skip


def scored(toy, ensemble, **options):
    return score_crossfit(ensemble, toy[1], toy[0]["fold"].to_numpy(), device="cpu", **options)


@pytest.fixture(scope="module")
def trained(toy):
    return run(toy)


def test_the_best_possible_area_is_reached(toy, trained):
    events, inputs = toy
    area = roc_auc_score(events["label"], scored(toy, trained[0]))
    ideal = roc_auc_score(events["label"], inputs.features.sum(1))
    assert ideal == pytest.approx(ndtr(1), abs=0.01)
    assert area == pytest.approx(ndtr(1), abs=0.01)
    assert ideal - 0.01 < area < ideal + 0.002


def test_mixtures_alone_teach_signal_against_background(toy):
    ensemble, _, summary = run(toy, 30, CWOLA)
    assert summary["n_m1"] == 3000
    assert roc_auc_score(toy[0]["label"], scored(toy, ensemble)) > ndtr(1) - 0.03


def test_the_number_of_threads_changes_nothing(toy, trained):
    other, history, _ = run(toy, threads=2)
    for one, two in zip(trained[0].models, other.models, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, two.state_dict()[name]), name
    scores = scored(toy, trained[0])
    np.testing.assert_array_equal(scores, scored(toy, other, threads=2))
    pd.testing.assert_frame_equal(history, trained[1])


def test_trees_are_kept_as_plain_tensors(toy, trained, tmp_path):
    save_ensemble(tmp_path / "model.pt", trained[0])
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert {type(value) for state in content["folds"] for value in state.values()} == {torch.Tensor}
    loaded = load_ensemble(tmp_path / "model.pt")
    assert all(isinstance(model, BoostedTrees) for model in loaded.models)
    np.testing.assert_array_equal(scored(toy, loaded), scored(toy, trained[0]))


def test_summary_and_history(trained):
    ensemble, history, summary = trained
    assert summary["parameters"] == len(ensemble.models[0].value)
    assert summary["training"] == TRAINING
    assert summary["device"] == "cpu"
    assert "scikit-learn" in summary["versions"]
    best = history.groupby("fold")["valid_loss"].idxmin()
    assert history["epoch"][best].tolist() == [fold["best_epoch"] for fold in summary["folds"]]
    assert [len(model.root) for model in ensemble.models] == [
        fold["best_epoch"] + 1 for fold in summary["folds"]
    ]


def test_training_events_are_scored_by_trees_that_saw_them(toy, trained):
    tables = score_training_events(trained[0], *toy, TRAINING, {}, None, 1, 0.2, device="cpu")
    assert len(tables) == 4
    for table in tables:
        assert roc_auc_score(table["label"], table["score"]) > ndtr(1) - 0.02


def test_groups_of_the_invisible_search():
    events = event_table(POOLS[:1] + POOLS[3:], folds=2)
    rng = np.random.default_rng(4)
    for name in (*FEATURE_GROUPS["kinematic"], *FEATURE_GROUPS["radiation"]):
        events[name] = rng.normal(size=len(events)).astype(np.float32)
    events["m_jj"] += np.where(events["label"] == 1, np.float32(5), np.float32(0))
    inputs = FeatureTable.from_events(events, ["kinematic", "radiation"])
    assert inputs.input_shape == (24,)
    ensemble, *_ = run((events, inputs), 20, CWOLA, folds=2)
    assert roc_auc_score(events["label"], scored((events, inputs), ensemble)) > 0.99


def test_wrong_options_are_named():
    with pytest.raises(ConfigError, match="hidden"):
        build_model(MODEL | {"hidden": [3]}, (4,))
    with pytest.raises(ConfigError, match="features"):
        build_model(MODEL, (1, 59, 45))
