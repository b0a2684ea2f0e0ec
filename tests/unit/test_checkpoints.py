"""Trainings that were killed go on from their last state, and end as if nothing had happened."""

import os
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from toys import CWOLA, DENSE, TREES, event_table, gaussian_features, particles

from cwolaflow.learning import fit as fit_module
from cwolaflow.learning.checkpoints import Checkpoints
from cwolaflow.learning.crossfit import train_crossfit
from cwolaflow.learning.fit import fit, reproducible
from cwolaflow.learning.inputs import FeatureTable, StackedInputs
from cwolaflow.learning.mixtures import TrainingSet
from cwolaflow.models import ParticleTransformer
from cwolaflow.representation.sets import ParticleSets

torch.set_num_threads(1)

TRAINING = {
    "optimiser": "adam",
    "learning_rate": 0.01,
    "batch_size": 100,
    "max_epochs": 9,
    "monitor": "loss",
}


class Killed(Exception):
    """What a test puts in the place of a kill."""


def dropping(hidden=16, dropout=0.3):
    return nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))


def transformer():
    options = {"heads": 2, "feed_forward": 8, "particle_blocks": 1, "class_blocks": 1}
    return ParticleTransformer(5, [8, 8], dropout=0.3, **options)


@pytest.fixture
def killed_after(monkeypatch):
    """Let trainings end when so many epochs have been done, all together."""

    unchanged = fit_module.validate

    def kill(n_epochs):
        left = iter(range(n_epochs))

        def validate(*arguments):
            if next(left, None) is None:
                raise Killed
            return unchanged(*arguments)

        monkeypatch.setattr(fit_module, "validate", validate)

    return kill


def features(n=700):
    rng = np.random.default_rng(0)
    labels = (np.arange(n) % 2).astype(np.float32)
    values = rng.normal(size=(n, 3)) + labels[:, None] * [1, 0, 0]
    return FeatureTable(torch.from_numpy(values.astype(np.float32))), *sets_of(labels)


def constituents(n=300):
    sets = ParticleSets(*particles(np.random.default_rng(0), n))
    return sets, *sets_of((np.arange(n) % 2).astype(np.float32))


def sets_of(labels):
    rows = np.arange(len(labels))
    return [
        TrainingSet(part, labels[part], np.ones(len(part), np.float32))
        for part in np.split(rows, [len(rows) * 3 // 4])
    ]


def train(toy, make_network, checkpoints=None, seed=1, threads=1, **options):
    inputs, *sets = toy
    with reproducible(1, 1):
        net = make_network()
    history = fit(
        net, inputs, *sets, TRAINING | options, seed, threads=threads, checkpoints=checkpoints
    )
    return net, history


def assert_same(a, b):
    for one, other in zip(a[0].state_dict().values(), b[0].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert a[1].best_epoch == b[1].best_epoch
    pd.testing.assert_frame_equal(a[1].epochs, b[1].epochs)


@pytest.mark.parametrize(
    ("make", "network", "options"),
    [
        (features, dropping, {}),
        (features, dropping, {"optimiser": "nadam", "average_epochs": 2, "monitor": "auc"}),
        (features, dropping, {"patience": 3, "max_epochs": 40}),
        (constituents, transformer, {"augmentation": {"phi_shift": {"copies": 1}}}),
        (constituents, transformer, {"batch_size": 200, "precision": "bfloat16"}),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_killed_training_ends_as_if_it_had_not_been(
    tmp_path, killed_after, caplog, make, network, options, threads
):
    toy = make()
    whole = train(toy, network, threads=threads, **options)
    assert len(whole[1].epochs) > 4
    checkpoints = Checkpoints(tmp_path / "unfinished", interval_s=0)
    caplog.set_level("INFO")
    for n_epochs in (3, 1):
        killed_after(n_epochs)
        with pytest.raises(Killed):
            train(toy, network, checkpoints, threads=threads, **options)
    killed_after(1000)
    caplog.clear()
    assert_same(train(toy, network, checkpoints, threads=threads, **options), whole)
    assert "training: goes on after 4 epochs" in caplog.text
    # All epochs are done: only the weights of the best are fetched.
    killed_after(0)
    assert_same(train(toy, network, checkpoints, threads=threads, **options), whole)
    checkpoints.remove()
    assert not (tmp_path / "unfinished").exists()


def killed(tmp_path, killed_after, about=None, sources=(), **options):
    """A training that was killed after two epochs."""
    killed_after(2)
    checkpoints = Checkpoints(tmp_path / "unfinished", sources, about, interval_s=0)
    with pytest.raises(Killed):
        train(features(), dropping, checkpoints, **options)
    assert len(list((tmp_path / "unfinished").glob("*.pt"))) == 1
    killed_after(1000)


@pytest.mark.parametrize(
    ("network", "seed", "n", "options"),
    [
        (dropping, 2, 700, {}),
        (dropping, 1, 704, {}),
        (dropping, 1, 700, {"max_epochs": 10}),
        (dropping, 1, 700, {"learning_rate": 0.02}),
        (dropping, 1, 700, {"threads": 2}),
        (partial(dropping, dropout=0.4), 1, 700, {}),
        (partial(dropping, hidden=17), 1, 700, {}),
    ],
    ids=["seed", "events", "epochs", "learning rate", "threads", "dropout", "layers"],
)
def test_another_training_starts_anew(tmp_path, killed_after, caplog, network, seed, n, options):
    killed(tmp_path, killed_after)
    caplog.set_level("INFO")
    checkpoints = Checkpoints(tmp_path / "unfinished", interval_s=0)
    found = train(features(n), network, checkpoints, seed=seed, **options)
    assert "goes on" not in caplog.text
    assert_same(found, train(features(n), network, seed=seed, **options))


def test_other_files_or_other_code_start_anew(tmp_path, killed_after, caplog):
    source = tmp_path / "events.parquet"
    source.write_text("events")
    killed(tmp_path, killed_after, {"code": "a"}, [source])
    caplog.set_level("INFO")

    def goes_on(about):
        caplog.clear()
        folder = tmp_path / "unfinished"
        train(features(), dropping, Checkpoints(folder, [source], about, interval_s=1000))
        return "goes on" in caplog.text

    assert goes_on({"code": "a"})
    assert not goes_on({"code": "b"})
    time = source.stat().st_mtime_ns
    source.write_text("Events")
    os.utime(source, ns=(time, time + 1))
    assert not goes_on({"code": "a"})


def test_a_damaged_state_is_named_and_not_used(tmp_path, killed_after, caplog):
    killed(tmp_path, killed_after)
    (file,) = (tmp_path / "unfinished").glob("*.pt")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    found = train(features(), dropping, Checkpoints(tmp_path / "unfinished"))
    assert f"{file}: not readable" in caplog.text
    assert "the training starts anew" in caplog.text
    assert_same(found, train(features(), dropping))


def test_states_are_written_no_more_often_than_asked(tmp_path):
    train(features(), dropping, Checkpoints(tmp_path / "unfinished", interval_s=1000))
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize("stacked", [False, True])
def test_networks_of_a_cross_fit_go_on_each_from_its_own(tmp_path, killed_after, stacked):
    pools = [("vbf", 1, "SR", 50), ("vbf", 1, "SB", 10), ("z", 0, "SR", 50), ("z", 0, "SB", 90)]
    events = event_table([(*pool, 20 * per_fb, per_fb) for *pool, per_fb in pools])
    table = FeatureTable(gaussian_features(events, 2.0))
    classifier, inputs = {"model": DENSE, "training": TRAINING}, table
    if stacked:
        inputs = StackedInputs(table, table)
        trees = TREES | {"scores_of": {"model": DENSE, "networks": 2}}
        boosting = {"learning_rate": 0.1, "max_iter": 60, "monitor": "loss"}
        classifier = {"model": trees, "training": boosting | {"scores_of": TRAINING}}

    def trained(checkpoints=None):
        return train_crossfit(
            events, inputs, classifier, CWOLA, 10, 1, 4, 0.2, device="cpu", checkpoints=checkpoints
        )

    whole, history, _ = trained()
    checkpoints = Checkpoints(tmp_path / "unfinished", interval_s=0)
    killed_after(24)  # within the third network
    with pytest.raises(Killed):
        trained(checkpoints)
    killed_after(1000)
    found, found_history, _ = trained(checkpoints)
    pd.testing.assert_frame_equal(found_history, history)
    for one, other in zip(found.models, whole.models, strict=True):
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)
