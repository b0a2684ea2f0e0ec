"""Boosted trees on scores of networks: nobody scores an event that it was trained on."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from toys import CWOLA, DENSE, TREES, event_table

from cwolaflow.learning import stacking
from cwolaflow.learning.crossfit import (
    load_ensemble,
    save_ensemble,
    score_crossfit,
    score_training_events,
    train_crossfit,
)
from cwolaflow.learning.inputs import FeatureTable, StackedInputs
from cwolaflow.learning.mixtures import TrainingSet
from cwolaflow.models import StackedTrees, build_model, count_parameters

torch.set_num_threads(1)

NETWORK_TRAINING = {
    "optimiser": "adam",
    "learning_rate": 0.01,
    "batch_size": 100,
    "max_epochs": 8,
    "monitor": "loss",
}
TRAINING = {"learning_rate": 0.1, "max_iter": 200, "monitor": "loss", "patience": 20}
POOLS = [
    ("vbf", 1, "SR", 1200, 50),
    ("vbf", 1, "SB", 600, 10),
    ("z", 0, "SR", 1200, 50),
    ("z", 0, "SB", 1200, 90),
]


def classifier(parts=3, model=DENSE, **training):
    return {
        "model": TREES | {"scores_of": {"model": model, "networks": parts}},
        "training": TRAINING | {"scores_of": NETWORK_TRAINING | training},
    }


def gaussians(events, separation, n=2, seed=2):
    """Features in the first of which signal is moved by ``separation``."""
    values = np.random.default_rng(seed).normal(size=(len(events), n))
    values[:, 0] += separation * events["label"].to_numpy()
    return FeatureTable(torch.from_numpy(values.astype(np.float32)))


@pytest.fixture(scope="module")
def toy():
    """Features and inputs of the network that are independent and equally strong."""
    events = event_table(POOLS, folds=3)
    return events, StackedInputs(gaussians(events, 1.0), gaussians(events, 1.0, seed=3))


def run(toy, luminosity_fb=None, config=None, test_folds=None, seed=1):
    return train_crossfit(
        *toy,
        config or classifier(),
        CWOLA if luminosity_fb else {},
        luminosity_fb,
        seed,
        3,
        0.2,
        test_folds,
        device="cpu",
    )


def scored(toy, ensemble):
    return score_crossfit(ensemble, toy[1], toy[0]["fold"].to_numpy(), device="cpu")


@pytest.fixture(scope="module")
def trained(toy):
    return run(toy)


@pytest.mark.parametrize("luminosity_fb", [None, 6])
@pytest.mark.parametrize("test_folds", [None, [1]])
def test_no_network_scores_an_event_that_trained_it(toy, monkeypatch, luminosity_fb, test_folds):
    events, _ = toy
    learned, scores, of_trees = {}, [], []
    fit, predict, fit_trees = stacking.fit, stacking.predict, stacking.fit_trees

    def spied_fit(network, inputs, train, valid, *arguments):
        learned[id(network)] = network, np.concatenate([train.rows, valid.rows])
        return fit(network, inputs, train, valid, *arguments)

    def spied_predict(network, read, inputs, rows, *arguments):
        scores.append((id(network), rows))
        return predict(network, read, inputs, rows, *arguments)

    def spied_fit_trees(trees, table, train, valid, *arguments):
        of_trees.append((table, train.rows, valid.rows))
        return fit_trees(trees, table, train, valid, *arguments)

    for name, spy in (
        ("fit", spied_fit),
        ("predict", spied_predict),
        ("fit_trees", spied_fit_trees),
    ):
        monkeypatch.setattr(stacking, name, spy)
    ensemble, *_ = run(toy, luminosity_fb, test_folds=test_folds)
    assert len(learned) == len(scores) == 3 * len(ensemble.models)
    for key, rows in scores:
        assert len(np.intersect1d(learned[key][1], rows)) == 0
    for model, held_out, (table, train, valid) in zip(
        ensemble.models, ensemble.held_out, of_trees, strict=True
    ):
        of_networks = [learned[id(network)][1] for network in model.networks]
        seen = np.unique(np.concatenate(of_networks))
        # Together they have the training events of the trees, each all but once, and no other.
        np.testing.assert_array_equal(seen, np.sort(train))
        assert sum(map(len, of_networks)) == 2 * len(train)
        assert len(np.intersect1d(seen, valid)) == 0
        assert not np.isin(
            events["fold"].to_numpy()[np.concatenate([train, valid])], held_out
        ).any()
        has_score = np.isfinite(table.features.numpy()).all(axis=1)
        np.testing.assert_array_equal(np.flatnonzero(has_score), np.sort([*train, *valid]))


def test_an_overtrained_network_does_no_harm():
    events = event_table([("vbf", 1, "SR", 450, 1), ("z", 0, "SB", 450, 1)], folds=3)
    noise = gaussians(events, 0.0, n=60, seed=5)
    features = gaussians(events, 2.0)
    model = DENSE | {"hidden": [128, 128]}
    config = classifier(model=model, max_epochs=60, learning_rate=0.003, monitor="accuracy")
    ensemble, *_ = run((events, StackedInputs(features, noise)), config=config)
    network, seen = ensemble.models[0].networks[0], events["fold"].to_numpy() != 0
    with torch.inference_mode():
        scaled = noise.scaled(ensemble.scalers[0]["scored"]).features
        logits = network(scaled)
    assert roc_auc_score(events["label"][seen], (logits[:, 1] - logits[:, 0])[seen]) > 0.75
    area = roc_auc_score(
        events["label"], scored((events, StackedInputs(features, noise)), ensemble)
    )
    # The best possible is Φ(√2) = 0.921.
    assert area > 0.88


def test_scores_add_what_features_do_not_know(toy, trained):
    events, inputs = toy
    area = roc_auc_score(events["label"], scored(toy, trained[0]))
    alone = roc_auc_score(events["label"], inputs.features.features[:, 0])
    # Φ(1 / √2) = 0.760 of one, Φ(1) = 0.841 of both.
    assert alone < 0.78
    assert 0.82 < area < 0.86


def test_scores_learned_from_mixtures_add_to_features_too(toy):
    events, inputs = toy
    ensemble, _, summary = run(toy, 8)
    assert summary["f1"] > summary["f2"]
    plain = {"model": TREES, "training": TRAINING}
    features = events, inputs.features
    areas = [
        roc_auc_score(events["label"], scored(kind, networks))
        for kind, networks in ((toy, ensemble), (features, run(features, 8, plain)[0]))
    ]
    # The best possible: Φ(1) = 0.841 and Φ(1 / √2) = 0.760.
    assert areas[0] > areas[1] + 0.05


def test_a_held_out_event_gets_the_mean_score_of_all_networks(toy, trained):
    events, inputs = toy
    rows = np.flatnonzero(events["fold"] == 0)[:50]
    model, scaled = trained[0].models[0], inputs.scaled(trained[0].scalers[0])
    features, arguments = scaled.batch(torch.from_numpy(rows))
    with torch.inference_mode():
        outputs = [network(arguments) for network in model.networks]
        scores = torch.stack([torch.softmax(output, 1)[:, 1] for output in outputs])
        logits = model.trees(torch.cat([features, scores.mean(0)[:, None]], dim=1))
    np.testing.assert_allclose(
        scored(toy, trained[0])[rows], expit(logits[:, 0].numpy()), atol=1e-6
    )


def test_training_events_are_scored_as_the_trees_saw_them(toy, trained):
    ensemble, history, summary = trained
    tables = score_training_events(
        ensemble, *toy, classifier()["training"], {}, None, 1, 0.2, max_events=10**6, device="cpu"
    )
    assert len(tables) == 3
    for fold, table in enumerate(tables):
        losses = -np.log(np.where(table["training_label"] == 1, table["score"], 1 - table["score"]))
        best = history[history["fold"] == fold].iloc[summary["folds"][fold]["best_epoch"]]
        found = np.average(losses, weights=table["training_weight"])
        assert found == pytest.approx(best["train_loss"], rel=1e-5)


def test_the_model_file_has_trees_and_networks(toy, trained, tmp_path):
    save_ensemble(tmp_path / "model.pt", trained[0])
    loaded = load_ensemble(tmp_path / "model.pt")
    assert all(isinstance(model, StackedTrees) for model in loaded.models)
    np.testing.assert_array_equal(scored(toy, loaded), scored(toy, trained[0]))
    networks = 3 * (2 * 8 + 8 + 8 * 2 + 2)
    trees = len(trained[0].models[0].trees.value)
    assert trained[2]["parameters"] == count_parameters(loaded.models[0]) == networks + trees


def test_the_same_seed_gives_the_same_model(toy, trained):
    again, history, _ = run(toy)
    assert history.equals(trained[1])
    for one, two in zip(again.models, trained[0].models, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, two.state_dict()[name]), name


def test_parts_are_even_within_each_label():
    labels = np.repeat([0, 1], [31, 62]).astype(np.float32)
    train = TrainingSet(np.arange(93), labels, np.ones(93, np.float32))
    part = stacking.parts_of(train, 3, 1)
    for label, sizes in ((0, {10, 11}), (1, {20, 21})):
        assert set(np.bincount(part[labels == label], minlength=3)) <= sizes
    assert not np.array_equal(part, stacking.parts_of(train, 3, 2))


def test_trees_read_one_score_of_each_jet():
    network = {"name": "jet_cnn", "filters": [4], "residual_blocks": 0, "dense": [4]}
    model = build_model(TREES | {"scores_of": {"model": network, "networks": 2}}, (7, 2, 2, 15, 15))
    assert model.n_scores == 2
    assert model.trees.n_features == 9
    assert model.eval()(torch.zeros(3, 7), torch.zeros(3, 2, 2, 15, 15)).shape == (3, 1)
