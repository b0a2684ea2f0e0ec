import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from toys import CWOLA, event_table, gaussian_features, write_skim

from cwolaflow.errors import InputError, StatisticsError
from cwolaflow.learning import crossfit
from cwolaflow.learning.crossfit import (
    load_ensemble,
    save_ensemble,
    score_crossfit,
    score_training_events,
    train_crossfit,
)
from cwolaflow.learning.inputs import FeatureTable, load_inputs
from cwolaflow.models import signal_logit
from cwolaflow.representation.build_images import build_images
from cwolaflow.representation.build_sets import build_sets
from cwolaflow.representation.sets import ParticleSets

torch.set_num_threads(1)

CLASSIFIER = {
    "model": {"name": "dense", "hidden": [8], "activation": "relu"},
    "training": {
        "optimiser": "adam",
        "learning_rate": 0.01,
        "batch_size": 100,
        "max_epochs": 8,
        "monitor": "loss",
    },
}
POOLS = [
    ("vbf", 1, "SR", 2400, 50),
    ("vbf", 1, "SB", 1200, 10),
    ("z", 0, "SR", 2400, 50),
    ("z", 0, "SB", 2400, 90),
]


def run(events, inputs, luminosity_fb=10, supervision=CWOLA, seed=1, folds=4, **options):
    return train_crossfit(
        events,
        inputs,
        CLASSIFIER,
        supervision,
        luminosity_fb,
        seed,
        folds,
        0.2,
        device="cpu",
        **options,
    )


@pytest.fixture(scope="module")
def toy():
    events = event_table(POOLS)
    return events, FeatureTable(gaussian_features(events, separation=2.0))


@pytest.fixture(scope="module")
def trained(toy):
    return run(*toy)


def scored(toy, ensemble):
    return score_crossfit(ensemble, toy[1], toy[0]["fold"].to_numpy(), device="cpu")


def test_mixtures_alone_teach_signal_against_background(toy, trained):
    events, _ = toy
    scores = scored(toy, trained[0])
    # The best possible is Φ(2 / √2) = 0.921.
    assert 0.88 < roc_auc_score(events["label"], scores) < 0.94
    for fold in range(4):
        rows = (events["fold"] == fold).to_numpy()
        assert roc_auc_score(events["label"][rows], scores[rows]) > 0.87


def test_scores_are_never_the_wrong_way_round(toy):
    for seed in range(3):
        ensemble, *_ = run(*toy, seed=seed, luminosity_fb=5)
        assert roc_auc_score(toy[0]["label"], scored(toy, ensemble)) > 0.8


def test_signal_like_background_cannot_be_told_apart(toy):
    events, _ = toy
    inputs = FeatureTable(gaussian_features(events, separation=0.0))
    ensemble, *_ = run(events, inputs)
    assert roc_auc_score(events["label"], scored((events, inputs), ensemble)) == pytest.approx(
        0.5, abs=0.03
    )


def test_without_injected_signal_the_regions_look_alike(toy):
    events, _ = toy
    ensemble, _, summary = run(*toy, supervision=CWOLA | {"signal_scale": 0.0})
    background = (events["label"] == 0).to_numpy()
    auc = roc_auc_score(events["region"][background] == "SR", scored(toy, ensemble)[background])
    assert auc == pytest.approx(0.5, abs=0.04)
    assert (summary["n_m1"], summary["n_m2"]) == (500, 900)


def test_signal_fractions_of_the_mixtures(toy, trained):
    _, _, summary = trained
    # At 10 per fb: 500 signal and 500 background in M1, 100 and 900 in M2, of every fold.
    assert (summary["f1"], summary["f2"]) == (0.5, 0.1)
    assert [fold["n_m1_signal"] for fold in summary["folds"]] == [500] * 4
    _, _, summary = run(*toy, supervision=CWOLA | {"signal_scale": 0.0})
    assert (summary["f1"], summary["f2"], summary["signal_scale"]) == (0.0, 0.0, 0.0)
    _, _, summary = run(*toy, luminosity_fb=None, supervision={})
    assert summary["f1"] is summary["f2"] is None


def spied_sets(monkeypatch):
    """Rows of the training and the validation of every network that is fitted from now on."""
    seen = []
    original = crossfit.fit

    def fit_and_note(model, scaled, train, valid, *others):
        seen.append((train, valid))
        return original(model, scaled, train, valid, *others)

    monkeypatch.setattr(crossfit, "fit", fit_and_note)
    return seen


@pytest.mark.parametrize("luminosity_fb", [10, None])
def test_one_network_never_sees_the_test_folds(toy, monkeypatch, luminosity_fb):
    events, _ = toy
    seen = spied_sets(monkeypatch)
    supervision = CWOLA if luminosity_fb else {}
    ensemble, history, summary = run(
        *toy, luminosity_fb=luminosity_fb, supervision=supervision, test_folds=[1, 3]
    )
    assert len(ensemble.models) == len(seen) == len(summary["folds"]) == 1
    is_test = events["fold"].isin([1, 3]).to_numpy()
    assert not is_test[seen[0][0].rows].any()
    assert not is_test[seen[0][1].rows].any()
    assert not np.intersect1d(seen[0][0].rows, seen[0][1].rows).size
    np.testing.assert_array_equal(ensemble.is_test(events["fold"].to_numpy()), is_test)
    scores = scored(toy, ensemble)
    np.testing.assert_array_equal(np.isnan(scores), ~is_test)
    assert roc_auc_score(events["label"][is_test], scores[is_test]) > 0.85
    assert history["fold"].unique().tolist() == [0]


def test_mixtures_beside_test_folds_have_the_whole_luminosity(toy):
    *_, summary = run(*toy, test_folds=[0])
    assert (summary["n_m1"], summary["n_m2"], summary["mixture_luminosity_fb"]) == (1000, 1000, 10)
    # Half of the 2400 background events of the sideband are offered, at 90 per fb.
    with pytest.raises(StatisticsError, match=r"1200 events available.*possible is 13\.33"):
        run(*toy, luminosity_fb=14, test_folds=[0, 1])


def test_held_out_folds_are_kept_with_the_model(toy, tmp_path):
    ensemble, *_ = run(*toy, test_folds=[2])
    save_ensemble(tmp_path / "model.pt", ensemble)
    loaded = load_ensemble(tmp_path / "model.pt")
    assert (loaded.held_out, loaded.folds) == ([(2,)], 4)
    np.testing.assert_array_equal(scored(toy, loaded), scored(toy, ensemble))


def test_labels_of_the_training_are_those_of_the_regions(toy, monkeypatch):
    events, _ = toy
    seen = spied_sets(monkeypatch)
    run(*toy)
    run(*toy, test_folds=[0], supervision=CWOLA | {"numbers": "poisson"})
    assert len(seen) == 5
    for part in (part for pair in seen for part in pair):
        in_sr = (events["region"].to_numpy()[part.rows] == "SR").astype(np.float32)
        np.testing.assert_array_equal(part.labels, in_sr)


def test_supervised(toy):
    events, _ = toy
    ensemble, _, summary = run(*toy, luminosity_fb=None, supervision={})
    assert roc_auc_score(events["label"], scored(toy, ensemble)) > 0.9
    assert summary["mixture_luminosity_fb"] is None
    assert summary["n_m1"] == round(3600 * 3 / 4)


def test_no_event_is_scored_by_a_network_that_saw_it(toy, monkeypatch):
    events, inputs = toy
    seen = []

    def fit_and_note(model, scaled, train, valid, *others):
        seen.append((model, {*train.rows.tolist(), *valid.rows.tolist()}))
        assert not {*train.rows.tolist()} & {*valid.rows.tolist()}
        torch.testing.assert_close(
            scaled.features[torch.from_numpy(train.rows)].mean(0), torch.zeros(2), atol=1e-5, rtol=0
        )
        return original(model, scaled, train, valid, *others)

    original = crossfit.fit
    monkeypatch.setattr(crossfit, "fit", fit_and_note)
    ensemble, *_ = run(*toy)
    asked = []

    def predict_and_note(model, _, rows, *others):
        (trained_on,) = (rows_seen for net, rows_seen in seen if net is model)
        assert not trained_on & {*rows.tolist()}
        asked.extend(rows.tolist())
        return np.zeros(len(rows))

    monkeypatch.setattr(crossfit, "predict_logits", predict_and_note)
    scores = score_crossfit(ensemble, inputs, events["fold"].to_numpy(), device="cpu")
    assert sorted(asked) == list(range(len(events)))
    assert (scores == 0.5).all()


def test_same_seed_same_scores_other_seed_others(toy, trained):
    again, other = (run(*toy, seed=seed)[0] for seed in (1, 2))
    scores = scored(toy, trained[0])
    np.testing.assert_array_equal(scores, scored(toy, again))
    assert np.abs(scores - scored(toy, other)).max() > 0.01


def test_folds_start_from_different_weights(trained):
    first = [next(model.parameters()) for model in trained[0].models]
    assert not any(torch.equal(first[0], weights) for weights in first[1:])


def test_summary_and_history(trained):
    _, history, summary = trained
    assert summary["parameters"] == 2 * 8 + 8 + 8 * 2 + 2
    assert (summary["n_m1"], summary["n_m2"]) == (1000, 1000)
    assert [fold["n_m1"] for fold in summary["folds"]] == [1000] * 4
    assert summary["mixture_luminosity_fb"] == summary["luminosity_fb"] == 10
    assert summary["seed"] == 1
    json.dumps(summary, allow_nan=False)
    assert list(history.columns) == [
        "fold",
        "member",
        "epoch",
        "train_loss",
        "valid_loss",
        "valid_accuracy",
        "valid_auc",
    ]
    assert history["fold"].unique().tolist() == [0, 1, 2, 3]
    best = history.groupby("fold")["valid_loss"].idxmin()
    assert history["epoch"][best].tolist() == [fold["best_epoch"] for fold in summary["folds"]]


def test_all_folds_have_the_luminosity_that_the_poorest_can_serve():
    events = event_table(POOLS)
    fold = events["fold"].to_numpy(copy=True)
    first = np.flatnonzero((events["process"] == "vbf") & (events["region"] == "SR"))
    fold[first] = np.where(np.arange(2400) < 1200, 0, 1)
    events["fold"] = fold
    inputs = FeatureTable(gaussian_features(events, 2.0))
    _, _, summary = run(events, inputs, 1000, CWOLA | {"shortfall": "scale_down"})
    # Without fold 3, 1800 of 2400 z events of the sideband are offered at 90 per fb⁻¹.
    assert summary["mixture_luminosity_fb"] == pytest.approx(1800 / 90)
    assert {entry["n_m2"] for entry in summary["folds"]} == {2000}
    with pytest.raises(StatisticsError, match="needed at 1000"):
        run(events, inputs, 1000)


def test_save_and_load(toy, trained, tmp_path):
    path = tmp_path / "model.pt"
    save_ensemble(path, trained[0])
    np.testing.assert_array_equal(scored(toy, load_ensemble(path)), scored(toy, trained[0]))
    content = torch.load(path, weights_only=True)
    assert {"folds", "scalers"} <= content.keys()
    save_ensemble(tmp_path / "again.pt", trained[0])
    assert path.read_bytes() == (tmp_path / "again.pt").read_bytes()


def test_damaged_model_file(trained, tmp_path):
    path = tmp_path / "model.pt"
    save_ensemble(path, trained[0])
    whole = path.read_bytes()
    torch.save({"folds": []}, tmp_path / "other.pt")
    other = (tmp_path / "other.pt").read_bytes()
    weights = next(iter(trained[0].models[0].state_dict().values())).numpy().tobytes()
    place = whole.index(weights)
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    cut = (whole[: len(whole) // 2], whole[:-10], b"", b"text", whole[100:])
    for content in (*cut, other, flipped):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"model\.pt: not readable") as error:
            load_ensemble(path)
        assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(InputError, match="missing"):
        load_ensemble(path)


def test_code_in_a_model_file_is_not_run(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"folds": Malicious()}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="not readable"):
        load_ensemble(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


def test_inputs_and_folds_that_do_not_fit(toy, trained):
    events, _ = toy
    with pytest.raises(InputError, match="shape"):
        score_crossfit(trained[0], FeatureTable(torch.zeros(3, 5)), np.zeros(3, int), device="cpu")
    with pytest.raises(InputError, match="4 folds"):
        score_crossfit(trained[0], toy[1], np.full(len(events), 4), device="cpu")
    with pytest.raises(InputError, match="folds run from 0 to 3"):
        run(*toy, folds=3)


IMAGES = {"eta_bins": 20, "phi_bins": 12, "eta_range": [-5, 5], "phi_padding": 2}
NETWORKS = {
    "image": {"name": "cnn", "filters": 8, "kernel": 4, "blocks": 2, "dense": [10]},
    "set": {
        "name": "particle_transformer",
        "embedding": [8],
        "heads": 2,
        "feed_forward": 16,
        "particle_blocks": 1,
        "class_blocks": 1,
        "dropout": 0.1,
    },
}


@pytest.fixture(scope="module")
def forward_signal(tmp_path_factory):
    """Signal with towers far forward, background with central ones: skim and event table."""
    folder = tmp_path_factory.mktemp("forward")
    events = event_table([("s", 1, "SR", 150, 9), ("b", 0, "SB", 150, 9)], folds=2)
    rng = np.random.default_rng(3)
    skim = []
    for label in events["label"]:
        n = rng.integers(3, 8)
        made = {"jet_eta": [1.0], "jet_phi": [0.0]}
        for kind, pt in (("tower", "et"), ("track", "pt")):
            made[f"{kind}_{pt}"] = rng.exponential(10, n)
            made[f"{kind}_eta"] = rng.normal(3 if label else 0, 1, n)
            made[f"{kind}_phi"] = rng.uniform(-np.pi, np.pi, n)
        skim.append(made)
    write_skim(folder / "skim.parquet", skim, first_id=0)
    reference = {"reference": "leading_jet"}
    build_images(folder / "skim.parquet", IMAGES | reference, folder / "image.parquet")
    sets = reference | {"max_towers": 5, "max_tracks": 5}
    build_sets(folder / "skim.parquet", sets, folder / "set.parquet")
    return events, folder


@pytest.mark.parametrize("kind", ["image", "set"])
def test_images_and_sets_are_learned_and_kept(forward_signal, kind, tmp_path):
    events, folder = forward_signal
    inputs = load_inputs({kind: "any"}, events, [folder / f"{kind}.parquet"])
    training = CLASSIFIER["training"] | {"batch_size": 25, "max_epochs": 12}
    classifier = {"model": NETWORKS[kind], "training": training}
    ensemble, *_ = train_crossfit(events, inputs, classifier, CWOLA, 5, 1, 2, 0.2, device="cpu")
    scores = scored((events, inputs), ensemble)
    assert roc_auc_score(events["label"], scores) > 0.9
    save_ensemble(tmp_path / "model.pt", ensemble)
    loaded = load_ensemble(tmp_path / "model.pt")
    np.testing.assert_array_equal(scored((events, inputs), loaded), scores)


@pytest.mark.parametrize("test_folds", [None, [1]])
def test_no_copy_of_an_event_is_on_another_side_of_a_split(forward_signal, monkeypatch, test_folds):
    events, folder = forward_signal
    inputs = load_inputs({"set": "any"}, events, [folder / "set.parquet"])
    sides, copied, plain = [], [], []
    fit, batch = crossfit.fit, ParticleSets.batch

    def fit_spied(model, scaled, train, valid, *arguments):
        sides.append((set(train.rows), set(valid.rows)))
        copied.append(set())
        plain.append(set())
        return fit(model, scaled, train, valid, *arguments)

    def batch_spied(self, indices, augmentation=None):
        (plain if augmentation is None else copied)[-1].update(indices.tolist())
        return batch(self, indices, augmentation)

    monkeypatch.setattr(crossfit, "fit", fit_spied)
    monkeypatch.setattr(ParticleSets, "batch", batch_spied)
    augmentation = {"phi_shift": {"copies": 2}, "eta_phi_smear": {"copies": 1}}
    training = CLASSIFIER["training"] | {"max_epochs": 2, "augmentation": augmentation}
    classifier = {"model": NETWORKS["set"], "training": training}
    ensemble, *_ = train_crossfit(
        events, inputs, classifier, CWOLA, 5, 1, 2, 0.2, test_folds, device="cpu"
    )
    assert len(sides) == len(ensemble.held_out) == (1 if test_folds else 2)
    for fold, (train, valid) in enumerate(sides):
        held_out = set(np.flatnonzero(events["fold"].isin(ensemble.held_out[fold])))
        assert copied[fold] == train
        assert plain[fold] == valid
        assert not train & valid
        assert not (train | valid) & held_out


def test_representation_of_other_events(forward_signal):
    events, folder = forward_signal
    with pytest.raises(InputError, match="300 events are not the 299"):
        load_inputs({"set": "any"}, events[1:], [folder / "set.parquet"])


def test_max_events_bounds_every_fold_and_is_in_the_summary(toy):
    events, inputs = toy
    classifier = CLASSIFIER | {
        "training": CLASSIFIER["training"] | {"max_events": 500, "max_epochs": 1}
    }
    _, _, summary = train_crossfit(events, inputs, classifier, CWOLA, 10, 1, 4, 0.2, device="cpu")
    assert summary["n_m1"] + summary["n_m2"] == 2000
    assert summary["training"]["max_events"] == 500
    assert summary["n_train"] == summary["folds"][0]["n_train"] < 500
    assert summary["precision"] == "float32"
    for fold in summary["folds"]:
        assert fold["n_train"] == pytest.approx(400, abs=1)
        assert fold["n_train"] + fold["n_validation"] == 500


@pytest.mark.parametrize("luminosity_fb", [10, None])
@pytest.mark.parametrize("test_folds", [None, [0, 2]])
def test_training_events_are_those_that_trained(toy, monkeypatch, luminosity_fb, test_folds):
    events, inputs = toy
    seen = spied_sets(monkeypatch)
    supervision = CWOLA if luminosity_fb else {}
    ensemble, _, _ = run(events, inputs, luminosity_fb, supervision, test_folds=test_folds)
    tables = score_training_events(
        ensemble,
        events,
        inputs,
        CLASSIFIER["training"],
        supervision,
        luminosity_fb,
        1,
        0.2,
        max_events=10**6,
        device="cpu",
    )
    assert len(tables) == len(seen) == (1 if test_folds else 4)
    for table, (train, _), folds in zip(tables, seen, ensemble.held_out, strict=True):
        assert np.array_equal(table["event_id"], events["event_id"].to_numpy()[train.rows])
        assert np.array_equal(table["training_label"], train.labels)
        assert not np.isin(events["fold"].to_numpy()[train.rows], folds).any()
        assert roc_auc_score(table["label"], table["score"]) > 0.85


def test_absent_processes_of_the_mixture_are_noted_and_the_others_scaled(toy):
    mixture = {"signal": {"vbf": 1.0}, "background": {"z": 0.6, "z_ew": 0.2}}
    _, _, summary = run(*toy, None, {"mixture": mixture})
    assert summary["notes"] == [
        "background without z_ew (25% of the published mixture): no such samples; "
        "the shares of the others are scaled up to 1"
    ]


def with_members(members):
    return CLASSIFIER | {"model": CLASSIFIER["model"] | {"members": members}}


def test_committee_gives_the_mean_logit_of_networks_trained_apart(
    toy, trained, monkeypatch, tmp_path
):
    monkeypatch.setitem(globals(), "CLASSIFIER", with_members(3))
    ensemble, history, summary = run(*toy)
    assert history.groupby("fold")["member"].unique().map(list).tolist() == 4 * [[0, 1, 2]]
    first, single = ensemble.models[0].members[0], trained[0].models[0]
    assert torch.equal(first[0].weight, single[0].weight)
    weights = [member[0].weight for member in ensemble.models[0].members]
    assert not torch.equal(weights[0], weights[1])
    values = torch.randn(5, *toy[1].input_shape)
    logits = [signal_logit(member(values)) for member in ensemble.models[0].members]
    torch.testing.assert_close(ensemble.models[0](values)[:, 0], sum(logits) / 3)
    assert summary["parameters"] == 3 * trained[2]["parameters"]
    save_ensemble(tmp_path / "model.pt", ensemble)
    assert np.array_equal(scored(toy, load_ensemble(tmp_path / "model.pt")), scored(toy, ensemble))


def test_members_divide_the_same_events_differently(toy):
    events, _ = toy
    config = with_members(3)["training"]
    split = crossfit._splits(events, config, CWOLA, 10, 1, [(0,), (1,)], 0.2)[0]
    shares = [crossfit._share_of_member(split, member, 0.2) for member in range(3)]
    rows = [np.sort(np.concatenate([train.rows, valid.rows])) for train, valid, _ in shares]
    assert all(np.array_equal(rows[0], other) for other in rows)
    for train, valid, _ in shares:
        assert not np.intersect1d(train.rows, valid.rows).size
    assert not np.array_equal(shares[1][1].rows, shares[2][1].rows)
    assert len({seed for *_, seed in shares}) == 3
