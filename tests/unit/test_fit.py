import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn
from torch.nn import functional
from toys import particles

from cwolaflow.errors import ConfigError, CwolaflowError, InputError
from cwolaflow.learning import fit as fit_module
from cwolaflow.learning.fit import (
    choose_device,
    choose_precision,
    fit,
    piece_events,
    predict_logits,
    prepared,
    reproducible,
)
from cwolaflow.learning.inputs import FeatureTable, load_inputs
from cwolaflow.learning.mixtures import TrainingSet
from cwolaflow.models import build_model
from cwolaflow.representation.augmentation import Augmentation, Copies
from cwolaflow.representation.feature_groups import FEATURE_GROUPS
from cwolaflow.representation.rendering import RenderedImages
from cwolaflow.representation.sets import ParticleSets
from cwolaflow.seeds import derive_seed

torch.set_num_threads(1)

CPU = torch.device("cpu")
MODEL = {"name": "dense", "hidden": [8, 8], "activation": "relu"}
TRAINING = {
    "optimiser": "nadam",
    "learning_rate": 0.01,
    "batch_size": 100,
    "max_epochs": 5,
    "monitor": "accuracy",
}


@pytest.fixture
def toy():
    """Inputs of 1,030 events, the last batch of which is incomplete, and their labels."""
    rng = np.random.default_rng(0)
    labels = (np.arange(1430) % 2).astype(np.float32)
    values = rng.normal(size=(1430, 3)) + 2 * labels[:, None] * [1, 0, 0]
    sets = []
    for rows in (np.arange(1030), np.arange(1030, 1430)):
        sets.append(TrainingSet(rows, labels[rows], np.ones(len(rows), np.float32)))
    return FeatureTable(torch.from_numpy(values.astype(np.float32))), *sets


def train(toy, seed=1, model_seed=1, model=MODEL, **change):
    inputs, *sets = toy
    with reproducible(model_seed, 1):
        net = build_model(model, inputs.input_shape)
    history = fit(net, inputs, *sets, TRAINING | change, seed)
    return net, history


def test_learns_a_separable_toy(toy):
    net, history = train(toy)
    inputs, _, valid = toy
    logits = predict_logits(net, inputs, valid.rows, 64, CPU)
    # The best possible is Φ(2 / √2) = 0.921.
    assert 0.90 < roc_auc_score(valid.labels, logits) < 0.95
    assert history.epochs["train_loss"].iloc[-1] < history.epochs["train_loss"].iloc[0]


def test_a_dead_network_is_named(toy, caplog):
    train(toy)
    assert "same for all" not in caplog.text
    inputs, *sets = toy
    net = build_model(MODEL, inputs.input_shape)
    with torch.no_grad():
        net[2].bias.fill_(-100)  # no event reaches beyond the second layer
    fit(net, inputs, *sets, TRAINING, 1, description="network 2 of 6")
    expected = "network 2 of 6: the output is the same for all events; lower 'training.learning_rate' (0.01)"
    assert expected in caplog.text


@pytest.mark.parametrize("optimiser", ["adam", "nadam"])
def test_same_seed_same_weights_other_seed_others(toy, optimiser):
    a, again, other, start = (
        torch.cat([p.flatten() for p in train(toy, *seeds, optimiser=optimiser)[0].parameters()])
        for seeds in ((1, 1), (1, 1), (2, 1), (1, 2))
    )
    assert torch.equal(a, again)
    assert not torch.allclose(a, other)
    assert not torch.allclose(a, start)


def test_dropout_is_seeded_and_global_state_is_left_alone(toy):
    class Dropping(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))

    def weights(seed):
        torch.manual_seed(9)
        net = Dropping()
        before = torch.random.get_rng_state()
        fit(net, *toy, TRAINING | {"max_epochs": 2}, seed)
        assert torch.equal(before, torch.random.get_rng_state())
        return net[0].weight

    torch.use_deterministic_algorithms(False)
    assert torch.equal(weights(3), weights(3))
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("monitor", "column", "best"),
    [
        ("loss", "valid_loss", "min"),
        ("accuracy", "valid_accuracy", "max"),
        ("auc", "valid_auc", "max"),
    ],
)
def test_weights_of_the_best_epoch_are_restored(toy, monitor, column, best):
    net, history = train(toy, monitor=monitor, learning_rate=0.3, max_epochs=8)
    values = history.epochs[column].to_numpy()
    assert history.best_epoch == (values.argmin() if best == "min" else values.argmax())
    assert len(set(values)) > 1
    inputs, _, valid = toy
    logits = predict_logits(net, inputs, valid.rows, 1000, CPU)
    score = 1 / (1 + np.exp(-logits.astype(float)))
    now = {
        "loss": log_loss(valid.labels, score),
        "accuracy": ((score > 0.5) == valid.labels).mean(),
        "auc": roc_auc_score(valid.labels, score),
    }
    assert now[monitor] == pytest.approx(values[history.best_epoch], rel=1e-5)


def test_best_epoch_before_the_last_is_restored(toy):
    inputs, train_set, valid = toy
    flipped = TrainingSet(valid.rows, 1 - valid.labels, valid.weights)
    _, history = train((inputs, train_set, flipped), monitor="loss")
    assert history.best_epoch == 0


def test_patience_stops_and_its_absence_does_not(toy):
    inputs, train_set, valid = toy
    flipped = (inputs, train_set, TrainingSet(valid.rows, 1 - valid.labels, valid.weights))
    _, history = train(flipped, monitor="loss", patience=3, max_epochs=9)
    assert len(history.epochs) == 1 + 3
    _, history = train(flipped, monitor="loss", max_epochs=9)
    assert len(history.epochs) == 9
    assert history.epochs["epoch"].tolist() == list(range(9))


def test_every_training_event_is_used_once_an_epoch(toy):
    inputs, train_set, valid = toy
    seen = []

    class Spy(FeatureTable):
        def batch(self, indices):
            seen.append(indices.clone())
            return super().batch(indices)

    train((Spy(inputs.features), train_set, valid), max_epochs=2)
    epochs = torch.cat(seen).split(1030 + 400)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(1430))
    assert not torch.equal(epochs[0][:1030], epochs[1][:1030])
    assert [len(batch) for batch in seen[:11]] == [100] * 10 + [30]


def test_weights_act_as_repetitions_in_the_first_step(toy):
    inputs, train_set, valid = toy
    weights = np.where(train_set.labels == 1, 3, 1).astype(np.float32)
    weighted = TrainingSet(train_set.rows, train_set.labels, weights)
    net, history = train((inputs, weighted, valid), max_epochs=1, batch_size=2000)
    with reproducible(1, 1):
        reference = build_model(MODEL, inputs.input_shape)
    rows = torch.from_numpy(np.repeat(train_set.rows, weights.astype(int)))
    labels = torch.from_numpy(train_set.labels)[rows].long()
    optimiser = torch.optim.NAdam(reference.parameters(), lr=0.01)
    loss = functional.cross_entropy(reference(inputs.features[rows]), labels)
    loss.backward()
    optimiser.step()
    assert history.epochs["train_loss"][0] == pytest.approx(loss.item(), rel=1e-5)
    for got, expected in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_validation_is_weighted(toy):
    inputs, train_set, valid = toy
    weights = np.where(valid.labels == 1, 0, 2).astype(np.float32)
    weights[valid.rows % 10 == 1] = 5
    weighted = TrainingSet(valid.rows, valid.labels, weights)
    net, history = train((inputs, train_set, weighted), max_epochs=1)
    logits = predict_logits(net, inputs, valid.rows, 1000, CPU).astype(float)
    row = history.epochs.iloc[0]
    score = 1 / (1 + np.exp(-logits))
    assert row["valid_loss"] == pytest.approx(
        log_loss(valid.labels, score, sample_weight=weights), rel=1e-5
    )
    accuracy = np.average((score > 0.5) == valid.labels, weights=weights)
    assert row["valid_accuracy"] == pytest.approx(accuracy)
    auc = roc_auc_score(valid.labels, logits, sample_weight=weights)
    assert row["valid_auc"] == pytest.approx(auc)


def test_loss_that_is_not_finite(toy):
    inputs, *sets = toy
    broken = inputs.features.clone()
    broken[3] = torch.nan
    with pytest.raises(CwolaflowError, match=r"not finite in epoch 0.*learning_rate"):
        train((FeatureTable(broken), *sets))


def test_sigmoid_network_of_eight_layers_learns(toy):
    model = {"name": "dense", "hidden": [24, 24, 19, 19, 14, 14, 9, 9], "activation": "sigmoid"}
    _, history = train(toy, model=model, max_epochs=60, batch_size=50)
    assert history.epochs["valid_auc"].max() > 0.9


def test_wrong_names(toy):
    for change in ({"optimiser": "sgdm"}, {"monitor": "f1"}):
        with pytest.raises(ConfigError, match=next(iter(change.values()))):
            train(toy, **change)
    with pytest.raises(ConfigError, match="tpu"):
        choose_device("tpu")
    assert choose_device("cpu") == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_cuda_without_a_gpu():
    assert choose_device("auto") == CPU
    with pytest.raises(ConfigError, match="no GPU"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_on_a_gpu(toy):
    inputs, *sets = toy
    net = build_model(MODEL, inputs.input_shape)
    history = fit(net, inputs, *sets, TRAINING, 1, "cuda")
    assert history.epochs["valid_auc"].max() > 0.9


def test_features_are_scaled_by_the_training_rows_alone():
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0], [100.0, 7.0]])
    table = FeatureTable(values)
    scaler = table.fit_scaler(np.array([0, 1]))
    assert scaler["mean"].tolist() == [2, 5]
    assert scaler["std"].tolist() == [1, 1]
    (scaled,) = table.scaled(scaler).batch(torch.tensor([2, 0]))
    assert scaled.tolist() == [[98, 2], [-1, 0]]


def test_features_come_in_the_order_of_their_groups():
    names = [*FEATURE_GROUPS["kinematic"], *FEATURE_GROUPS["radiation"]]
    events = pd.DataFrame({name: [float(i)] * 2 for i, name in enumerate(sorted(names))})
    inputs = load_inputs({"features": ["radiation", "kinematic"]}, events)
    expected = events[[*FEATURE_GROUPS["radiation"], *FEATURE_GROUPS["kinematic"]]]
    assert inputs.input_shape == (24,)
    np.testing.assert_array_equal(inputs.batch(torch.tensor([0, 1]))[0], expected)
    with pytest.raises(ConfigError, match="shape"):
        load_inputs({"features": ["shape"]}, events)
    events.loc[1, "m_jj"] = np.nan
    with pytest.raises(InputError, match="m_jj"):
        load_inputs({"features": ["kinematic"]}, events)
    with pytest.raises(ConfigError, match="graph"):
        load_inputs({"graph": "g"}, events)


def test_a_batch_in_pieces_is_the_whole_batch(toy, monkeypatch):
    whole, history = train(toy)
    monkeypatch.setattr(fit_module, "PIECE_NUMBERS", 3 * 7)
    assert piece_events(toy[0]) == 7
    pieces, in_pieces = train(toy)
    for a, b in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    pd.testing.assert_frame_equal(history.epochs, in_pieces.epochs, rtol=1e-3)


def test_batch_normalisation_sees_whole_batches(toy, monkeypatch):
    def weights():
        torch.manual_seed(3)
        net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
        fit(net, *toy, TRAINING, 1)
        return net.state_dict()

    whole = weights()
    monkeypatch.setattr(fit_module, "PIECE_NUMBERS", 3 * 7)
    for name, values in weights().items():
        torch.testing.assert_close(values, whole[name], rtol=1e-6, atol=1e-6)


def test_an_event_larger_than_a_piece_still_goes_through():
    assert piece_events(FeatureTable(torch.zeros(1, 10**6))) == 1


def test_bfloat16_computes_in_less_precision_and_learns_the_same(toy):
    net, history = train(toy)
    reduced, rough = train(toy, precision="bfloat16")
    assert all(p.dtype == torch.float32 for p in reduced.parameters())
    assert not all(map(torch.equal, net.parameters(), reduced.parameters()))
    auc = history.epochs["valid_auc"].iloc[-1]
    assert rough.epochs["valid_auc"].iloc[-1] == pytest.approx(auc, abs=0.01)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": True, "avx512_fp16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True, "avx512_fp16": True}, torch.float32),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_precision_auto_goes_by_the_instructions_of_the_cpu(monkeypatch, flags, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert choose_precision("auto", CPU) is expected
    assert choose_precision("float32", CPU) is torch.float32
    assert choose_precision("bfloat16", CPU) is torch.bfloat16


def test_unknown_precision():
    with pytest.raises(ConfigError, match=r"training\.precision.*'half'.*float32, bfloat16, auto"):
        choose_precision("half", CPU)


PARTICLE_NETWORK = {
    "name": "particle_transformer",
    "embedding": [8, 8],
    "heads": 2,
    "feed_forward": 8,
    "particle_blocks": 1,
    "class_blocks": 1,
}
AUGMENTATION = {"phi_shift": {"copies": 2}, "pt_smear": {"copies": 1}}


@pytest.fixture
def constituents():
    """Columns of 230 events of 3 to 6 particles, and 150 to train and 80 to validate on."""
    rng = np.random.default_rng(4)
    offsets, columns = particles(rng, 230)
    order = rng.permutation(230)
    labels = (np.arange(230) % 2).astype(np.float32)
    weights = rng.uniform(1, 2, 230).astype(np.float32)
    sets = [TrainingSet(rows, labels[rows], weights[rows]) for rows in np.split(order, [150])]
    return offsets, columns, *sets


def spying(kind, calls):
    """Inputs that note of every batch its events and which examples of them it takes."""

    class Spy(kind):
        def batch(self, indices, augmentation=None):
            calls.append((indices.clone(), augmentation))
            return super().batch(indices, augmentation)

    return Spy


def test_an_epoch_has_every_example_of_training_events_and_validation_none(constituents):
    offsets, columns, *sets = constituents
    calls = []
    inputs = spying(ParticleSets, calls)(offsets, columns)
    _, history = train(
        (inputs, *sets), model=PARTICLE_NETWORK, augmentation=AUGMENTATION, max_epochs=3
    )
    assert len(history.epochs) == 3
    training = [(rows, copies) for rows, copies in calls if copies is not None]
    validation = torch.cat([rows for rows, copies in calls if copies is None])
    assert validation.tolist() == sets[1].rows.tolist() * 3
    assert [len(rows) for rows, _ in training] == [100] * 6 * 3
    pairs = [
        pair
        for rows, copies in training
        for pair in zip(rows.tolist(), copies.numbers.tolist(), strict=True)
    ]
    for epoch in np.split(np.array(pairs), 3):
        expected = [(row, number) for row in sorted(sets[0].rows) for number in range(4)]
        assert sorted(map(tuple, epoch)) == expected


def test_copies_have_the_label_and_weight_of_their_event(constituents):
    offsets, columns, train_set, valid = constituents
    inputs = ParticleSets(offsets, columns)
    _, history = train(
        (inputs, train_set, valid),
        model=PARTICLE_NETWORK,
        augmentation=AUGMENTATION,
        batch_size=1000,
        max_epochs=1,
    )
    with reproducible(1, 1):
        reference = build_model(PARTICLE_NETWORK, inputs.input_shape)
    augmentation = Augmentation(AUGMENTATION, derive_seed(1, "augmentation"))
    losses = []
    for number in range(4):
        copies = Copies(augmentation, np.full(150, number))
        logits = reference(*inputs.batch(torch.from_numpy(train_set.rows), copies))[:, 0]
        losses.append(
            log_loss(
                train_set.labels,
                torch.sigmoid(logits.double()).detach(),
                sample_weight=train_set.weights,
            )
        )
    assert len(set(np.round(losses, 9))) > 1
    assert history.epochs["train_loss"][0] == pytest.approx(np.mean(losses), rel=1e-5)


def test_augmentation_is_seeded(constituents):
    offsets, columns, *sets = constituents
    inputs = ParticleSets(offsets, columns)
    options = {"model": PARTICLE_NETWORK, "max_epochs": 2}

    def losses(**change):
        return train((inputs, *sets), **(options | change))[1].epochs["train_loss"].tolist()

    augmented = losses(augmentation=AUGMENTATION)
    assert losses(augmentation=AUGMENTATION) == augmented
    assert losses(augmentation=AUGMENTATION, seed=2) != augmented
    assert losses() != augmented


def test_images_are_augmented_in_training(constituents):
    offsets, columns, *sets = constituents
    calls = []
    geometry = {"eta_bins": 16, "phi_bins": 16, "eta_range": (-5, 5)}
    inputs = spying(RenderedImages, calls)(offsets, columns, **geometry)
    model = {"name": "cnn", "filters": 2, "kernel": 3, "blocks": 1, "dense": [4]}
    train((inputs, *sets), model=model, augmentation=AUGMENTATION, max_epochs=1)
    assert sum(len(rows) for rows, copies in calls if copies is not None) == 4 * 150
    assert sum(len(rows) for rows, copies in calls if copies is None) == 80


def test_augmentation_of_features_is_refused(toy):
    with pytest.raises(ConfigError, match=r"training\.augmentation.*input: {set"):
        train(toy, augmentation=AUGMENTATION)


def test_images_and_particle_lists_of_a_set(tmp_path, constituents):
    offsets, columns, *_ = constituents
    lists = {name: np.split(values, offsets[1:-1]) for name, values in columns.items()}
    table = {name: [v.tolist() for v in values] for name, values in lists.items()}
    path = tmp_path / "s.parquet"
    pd.DataFrame({"event_id": np.arange(230)} | table).to_parquet(path)
    events = pd.DataFrame({"event_id": np.arange(230)})
    image = {"eta_bins": 10, "phi_bins": 8, "eta_range": [-5, 5]}
    rendered = load_inputs({"set": "s", "image": image}, events, [path])
    assert rendered.input_shape == (2, 10, 8)
    listed = load_inputs({"set": "s", "standardise_pt": "log"}, events, [path])
    features, mask = listed.batch(torch.tensor([4]))
    np.testing.assert_allclose(features[0, :, 0], np.log1p(lists["pt"][4]), rtol=1e-6)
    assert mask.all()


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_are_prepared_in_order_one_ahead(threads):
    started = []

    def prepare(part):
        started.append(part)
        return -part

    with reproducible(1, threads):
        parts = prepared(range(5), prepare)
        assert next(parts) == 0
        assert next(parts) == -1
        assert len(started) <= 1 + threads
        assert list(parts) == [-2, -3, -4]
        assert list(prepared([], prepare)) == []
    assert started == [0, 1, 2, 3, 4]


def test_an_error_in_the_background_is_raised():
    def prepare(part):
        raise CwolaflowError(f"part {part}")

    with reproducible(1, 2), pytest.raises(CwolaflowError, match="part 0"):
        list(prepared(range(3), prepare))


def test_preparing_in_the_background_changes_no_batch(constituents):
    offsets, columns, *sets = constituents

    def batches(threads):
        calls = []
        inputs = spying(ParticleSets, calls)(offsets, columns)
        with reproducible(1, 1):
            net = build_model(PARTICLE_NETWORK, inputs.input_shape)
        options = {"augmentation": AUGMENTATION, "max_epochs": 2}
        fit(net, inputs, *sets, TRAINING | options, 1, threads=threads)
        return [
            (rows.tolist(), None if copies is None else copies.numbers.tolist())
            for rows, copies in calls
        ]

    assert batches(1) == batches(2)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_threads_that_share_a_batch_change_nothing(constituents, monkeypatch, dropout):
    offsets, columns, *sets = constituents
    monkeypatch.setattr(fit_module, "CACHED_EVENTS", 40)
    inputs = ParticleSets(offsets, columns)
    options = TRAINING | {"augmentation": AUGMENTATION, "max_epochs": 2}

    def trained(threads):
        with reproducible(1, 1):
            net = build_model(PARTICLE_NETWORK | {"dropout": dropout}, inputs.input_shape)
        history = fit(net, inputs, *sets, options, 1, threads=threads)
        return torch.cat([p.detach().flatten() for p in net.parameters()]), history.epochs

    weights, epochs = trained(1)
    for threads in (2, 3):
        others, other_epochs = trained(threads)
        assert torch.equal(others, weights)
        pd.testing.assert_frame_equal(other_epochs, epochs)
    monkeypatch.setattr(fit_module, "CACHED_EVENTS", 1000)
    whole, _ = trained(1)
    # Without dropout pieces add up to the batch; with it every piece draws its own.
    assert torch.allclose(whole, weights, atol=1e-3) == (dropout == 0)


def test_averaged_weights_are_the_exponential_mean_over_steps(toy):
    inputs, events, _ = toy
    steps = -(-len(events.rows) // 400)
    model = build_model(MODEL, inputs.input_shape)
    average = fit_module._WeightAverage(model, 2.0, steps)
    rng = torch.Generator().manual_seed(1)
    path = []
    for _ in range(30):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=rng))
        path.append(model[0].weight.detach().clone())
        average.update()
    share = 1 - np.exp(-1 / (2 * steps))
    expected = path[0]
    for step, weight in enumerate(path[1:], start=2):
        expected = expected + max(share, 1 / step) * (weight - expected)
    torch.testing.assert_close(average.lagging[0].weight, expected)


def test_what_is_kept_of_averaged_weights_is_what_was_validated(toy):
    inputs, _, valid = toy
    net, history = train(toy, average_epochs=3, monitor="loss")
    plain, _ = train(toy, monitor="loss")
    best = history.epochs.iloc[history.best_epoch]
    logits = predict_logits(net, inputs, valid.rows, 512, CPU)
    assert roc_auc_score(valid.labels, logits) == pytest.approx(best["valid_auc"])
    assert not torch.equal(net[0].weight, plain[0].weight)


def test_averaged_batch_statistics_follow(toy):
    inputs = toy[0]
    model = nn.Sequential(nn.BatchNorm1d(inputs.input_shape[0]), nn.Linear(3, 1))
    average = fit_module._WeightAverage(model, 1.0, 1)
    model(torch.full((10, 3), 7.0) + torch.randn(10, 3))
    average.update()
    torch.testing.assert_close(average.lagging[0].running_mean, model[0].running_mean)
    assert average.lagging[0].num_batches_tracked == 1
