"""Networks of one study on the events of another: as they are, or trained on."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from test_config import one_line, write_study
from test_crossfit import CLASSIFIER, POOLS, run
from toys import CWOLA, event_table, gaussian_features

from cwolaflow.config.plan import (
    Limit,
    Training,
    limits,
    training_luminosity,
    trainings,
    transfer_source,
)
from cwolaflow.config.samples import Sample
from cwolaflow.config.study import load_study
from cwolaflow.config.transfers import check_transfers
from cwolaflow.errors import ConfigError, InputError
from cwolaflow.learning.crossfit import load_ensemble, save_ensemble, score_crossfit
from cwolaflow.learning.evaluate import evaluate, score_table
from cwolaflow.learning.inputs import FeatureTable
from cwolaflow.learning.transfer import transfer

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def source():
    events = event_table(POOLS)
    return run(events, FeatureTable(gaussian_features(events, separation=2.0)), test_folds=[0])


@pytest.fixture(scope="module")
def cross_fitted():
    events = event_table(POOLS)
    return run(events, FeatureTable(gaussian_features(events, separation=2.0)))


@pytest.fixture(scope="module")
def target():
    pools = [("ggf", 0, "SR", 500, 5), ("ggf", 0, "SB", 500, 9), ("vbf", 1, "SR", 900, 3)]
    events = event_table([*pools, ("vbf", 1, "SB", 300, 1)], folds=2, seed=8)
    return events, FeatureTable(gaussian_features(events, separation=2.0, seed=9))


def scores_of(ensemble, target):
    events, inputs = target
    return score_crossfit(ensemble, inputs, events["fold"].to_numpy(), device="cpu")


@pytest.mark.parametrize("test_folds", [None, [1]])
def test_unchanged_networks_score_all_test_events(source, target, test_folds, tmp_path):
    ensemble, history, summary = transfer(source[0], source[2], 2, test_folds)
    events, inputs = target
    is_test = ensemble.is_test(events["fold"].to_numpy())
    expected = np.ones(len(events), bool) if test_folds is None else (events["fold"] == 1)
    np.testing.assert_array_equal(is_test, expected)
    save_ensemble(tmp_path / "model.pt", ensemble)
    scores = scores_of(load_ensemble(tmp_path / "model.pt"), target)
    # By hand: the scale of the source's own training events, and its weights.
    scaler, model = source[0].scalers[0], source[0].models[0]
    with torch.inference_mode():
        logits = model((inputs.features - scaler["mean"]) / scaler["std"])
        by_hand = torch.softmax(logits, 1)[:, 1].numpy()
    np.testing.assert_allclose(scores[is_test], by_hand[is_test], rtol=1e-5)
    assert np.isnan(scores[~is_test]).all()
    assert history.empty
    assert history.columns.tolist() == source[1].columns.tolist()
    assert history.dtypes.tolist() == source[1].dtypes.tolist()
    assert (summary["n_m1"], summary["f1"], summary["folds"]) == (None, None, [])
    assert summary["source_mixture"]["n_m1"] == 1000
    metrics = evaluate(score_table(events, scores, is_test), summary)
    assert metrics["auc"] > 0.85
    assert metrics["auc_mixed_implied"] is None


def test_scores_of_several_networks_are_averaged(cross_fitted, target):
    ensemble, *_ = transfer(cross_fitted[0], cross_fitted[2], 2)
    assert len(ensemble.models) == 4
    single = []
    for k in range(4):
        one = cross_fitted[0]
        alone = type(one)(
            one.models[k : k + 1],
            one.scalers[k : k + 1],
            one.model_config,
            one.input_shape,
            [(0, 1)],
            2,
        )
        single.append(scores_of(alone, target))
    np.testing.assert_allclose(scores_of(ensemble, target), np.mean(single, axis=0), rtol=1e-5)


def test_fine_tuning_starts_from_the_weights_and_scale_of_the_source(source, target):
    before = {name: value.clone() for name, value in source[0].models[0].state_dict().items()}
    still = CWOLA | {"fine_tune": {"learning_rate": 1e-12, "max_epochs": 1}}
    ensemble, history, summary = run(
        *target, luminosity_fb=25, supervision=still, folds=2, initial=source[0]
    )
    assert len(ensemble.models) == 2
    for model, scaler in zip(ensemble.models, ensemble.scalers, strict=True):
        assert scaler is source[0].scalers[0]
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name], atol=1e-6, rtol=0)
    assert history["epoch"].tolist() == [0, 0]
    assert summary["training"] == CLASSIFIER["training"] | still["fine_tune"]
    moved = CWOLA | {"fine_tune": {"learning_rate": 0.01}}
    ensemble, history, _ = run(
        *target, luminosity_fb=25, supervision=moved, folds=2, initial=source[0], test_folds=[1]
    )
    assert len(history) == CLASSIFIER["training"]["max_epochs"]
    assert not torch.equal(next(ensemble.models[0].parameters()), next(iter(before.values())))
    for name, value in source[0].models[0].state_dict().items():
        assert torch.equal(value, before[name])
    events, _ = target
    is_test = (events["fold"] == 1).to_numpy()
    assert roc_auc_score(events["label"][is_test], scores_of(ensemble, target)[is_test]) > 0.8


def test_network_of_another_shape_is_refused(source, target):
    events, _ = target
    inputs = FeatureTable(torch.zeros(len(events), 5))
    with pytest.raises(InputError, match=r"shape \(2,\), but the classifier is .* for \(5,\)"):
        run(
            events, inputs, 50, CWOLA | {"fine_tune": {"learning_rate": 1}}, 1, 2, initial=source[0]
        )
    ensemble, *_ = transfer(source[0], source[2], 2)
    with pytest.raises(InputError, match="shape"):
        scores_of(ensemble, (events, inputs))


TRANSFER = {
    "seeds": [123, 223],
    "classifiers": ["part"],
    "from": {"study": "other", "supervision": "cwola"},
}


def studies(folder, supervision, source_changes=None):
    """A study with a transfer, and the one that it takes over, with their samples."""
    (folder / "source").mkdir()
    there = load_study(write_study(folder / "source", **(source_changes or {})))
    here = load_study(write_study(folder, supervision=supervision))
    there["name"] = "other"
    samples = {
        "changed": {"a": Sample("a", "vbf_hinv", ("a.root",), 1.0, 1.0, 1.0, 1.0)},
        "other": {"b": Sample("b", "vbf_hinv", ("b.root",), 1.0, 1.0, 1.0, 1.0)},
    }
    return {"changed": here, "other": there}, samples


def test_transfers_are_planned_at_the_luminosities_of_a_source_with_mixtures(tmp_path):
    supervised = TRANSFER | {"from": {"study": "other", "supervision": "supervised"}}
    tuned = supervised | {"fine_tune": {"learning_rate": 1.0e-4}}
    loaded, samples = studies(
        tmp_path,
        {
            "supervised": None,
            "cwola": None,
            "transfer": TRANSFER,
            "transfer_supervised": supervised,
            "transfer_tuned": tuned,
        },
    )
    check_transfers(loaded, samples)
    study = loaded["changed"]
    jobs = list(trainings(study))
    assert [job for job in jobs if job.seed == 123] == [
        Training("part", "transfer", "36", 123),
        Training("part", "transfer", "140", 123),
        Training("part", "transfer", "300", 123),
        Training("part", "transfer_supervised", "all", 123),
        Training("part", "transfer_tuned", "36", 123),
        Training("part", "transfer_tuned", "140", 123),
        Training("part", "transfer_tuned", "300", 123),
    ]
    assert [transfer_source(study, job) for job in (jobs[0], jobs[6], jobs[8])] == [
        ("other", Training("part", "cwola", "36", 123)),
        ("other", Training("part", "supervised", "all", 123)),
        ("other", Training("part", "supervised", "all", 123)),
    ]
    assert training_luminosity(study, "transfer", "36") == "36"
    assert training_luminosity(study, "transfer_supervised", "36") == "all"
    assert Limit("part", "transfer", "140", 223) in list(limits(study))


@pytest.mark.parametrize(
    ("change", "source_changes", "words"),
    [
        ({"study": "absent"}, {}, ["study 'absent' is not in 'studies' of the config; add its file"]),
        ({"supervision": "cwolla"}, {}, ["other has no training 'cwolla' (did you mean 'cwola'?)"]),
        ({"classifier": "parts"}, {}, ["other has no classifier 'parts' (did you mean 'part'?)"]),
        ({"classifier": "ann_h"}, {}, ["model of ann_h in other is", "of part here", "make them the same"]),
        ({}, {"represent": {"sets": {"particles": {"max_towers": 100}}}}, ["representation.max_towers of part in other is 100, of part here 250"]),
        ({}, {"represent": {"sets": {"particles": {"order": "file"}}}}, ["representation.order of part in other is file, of part here pt"]),
        ({}, {"classifiers": {"part": {"model": {"heads": 2}}}}, ["model of part in other"]),
    ],
)  # fmt: skip
def test_transfers_that_cannot_be_done(tmp_path, change, source_changes, words):
    settings = TRANSFER | {"from": TRANSFER["from"] | change}
    loaded, samples = studies(tmp_path, {"transfer": settings}, source_changes)
    with pytest.raises(ConfigError) as error:
        check_transfers(loaded, samples)
    text = one_line(error)
    for word in ["study 'changed': 'supervision.transfer.from'", *words]:
        assert word in text


def test_other_decay_products_may_be_met_where_they_are_not_seen(tmp_path):
    changes = {
        "represent": {"sets": {"particles": {"decay_products": {"photons": 2}}}},
        "classifiers": {"part": {"input": {"decay_products": "without"}}},
    }
    check_transfers(*studies(tmp_path, {"transfer": TRANSFER}, changes))


JET_CNN = {
    "input": {"jets": "leading"},
    "model": {"name": "jet_cnn", "filters": [4], "residual_blocks": 0, "dense": [4]},
    "training": {"optimiser": "adam", "learning_rate": 0.1, "batch_size": 9, "max_epochs": 3, "monitor": "loss"},
}  # fmt: skip
ON_JETS = {
    "input": {"features": ["radiation"], "scores_of": {"classifier": "jet_cnn"}},
    "model": {"name": "gradient_boosting", "max_leaf_nodes": 4, "min_samples_leaf": 5, "l2_regularization": 1},
    "training": {"learning_rate": 0.1, "max_iter": 5, "monitor": "loss"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("leading", "words"),
    [
        ({}, None),
        ({"removed_decay_products": {"photons": 2}}, None),
        ({"bins": 21}, r"scores_of.representation.bins of bdt in other is 21, of bdt here 33"),
    ],
)
def test_trees_on_scores_must_see_the_same_jets(tmp_path, leading, words):
    jets = {"bins": 33, "half_width": 0.5}
    changes = [
        {
            "represent": {"jets": {"leading": jets | change}},
            "classifiers": {"jet_cnn": JET_CNN, "bdt": ON_JETS},
        }
        for change in ({}, leading)
    ]
    (tmp_path / "source").mkdir()
    there = load_study(write_study(tmp_path / "source", **changes[1])) | {"name": "other"}
    supervision = {"transfer": TRANSFER | {"classifiers": ["bdt"]}}
    here = load_study(write_study(tmp_path, supervision=supervision, **changes[0]))
    loaded, samples = {"changed": here, "other": there}, {"changed": {}, "other": {}}
    if words is None:
        check_transfers(loaded, samples)
    else:
        with pytest.raises(ConfigError, match=words):
            check_transfers(loaded, samples)
    assert here["classifiers"]["jet_cnn"]["input"] == {"jets": "leading"}


def test_networks_are_not_tested_on_events_that_may_have_trained_them(tmp_path):
    loaded, samples = studies(tmp_path, {"transfer": TRANSFER})
    samples["other"] |= {"c": Sample("c", "z_qcd", ("./a.root",), 1.0, 1.0, 1.0, 1.0)}
    with pytest.raises(ConfigError, match=r"other has events of .*a\.root too"):
        check_transfers(loaded, samples)
    produced = Sample("made", "z_qcd", (), None, 1.0, 1.0, 1.0)
    samples = {name: {"made": produced} for name in samples}
    with pytest.raises(ConfigError, match="other has events of the produced sample made too"):
        check_transfers(loaded, samples)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shortfall": "error"}, ["'supervision.transfer': 'fine_tune' is a dependency of 'shortfall'"]),
        ({"fine_tune": {"max_epochs": 3}}, ["missing key 'supervision.transfer.fine_tune.learning_rate'"]),
        ({"from": {"study": "other"}}, ["missing key 'supervision.transfer.from.supervision'"]),
        ({"from": {"study": "other", "supervision": "cwola", "clasifier": "x"}}, ["did you mean 'classifier'"]),
    ],
)  # fmt: skip
def test_bad_settings_of_a_transfer(tmp_path, settings, words):
    path = write_study(tmp_path, supervision={"transfer": TRANSFER | settings})
    with pytest.raises(ConfigError) as error:
        load_study(path)
    text = one_line(error)
    for word in words:
        assert word in text
