import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cwolaflow.errors import ConfigError
from cwolaflow.models import build_model, count_parameters, signal_logit, signal_score
from cwolaflow.representation.feature_groups import FEATURE_GROUPS
from cwolaflow.representation.images import SparseImages

torch.set_num_threads(1)

CNN = {"name": "cnn", "filters": 64, "kernel": 4, "blocks": 3, "dense": [300, 300, 300]}
PART = {
    "name": "particle_transformer",
    "embedding": [16, 64, 16],
    "heads": 4,
    "feed_forward": 64,
    "particle_blocks": 1,
    "class_blocks": 1,
    "dropout": 0.1,
}
EVENT_CNN = {
    "name": "event_cnn",
    "filters": [32, 64],
    "residual_blocks": 2,
    "dense": [256, 128, 128],
    "dropout": 0.1,
}


@pytest.mark.parametrize(
    ("n_features", "hidden", "activation", "expected"),
    [
        (8, [8, 8, 4, 4], "relu", 210),
        (16, [16, 16, 11, 11, 6, 6], "sigmoid", 991),
        (24, [24, 24, 19, 19, 14, 14, 9, 9], "sigmoid", 2790),
    ],
)
def test_dense_networks_have_the_published_size(n_features, hidden, activation, expected):
    config = {"name": "dense", "hidden": hidden, "activation": activation}
    model = build_model(config, (n_features,))
    assert count_parameters(model) == expected
    kinds = {type(layer) for layer in model} - {nn.Linear}
    assert kinds == {nn.ReLU if activation == "relu" else nn.Sigmoid}
    assert model(torch.zeros(3, n_features)).shape == (3, 2)


@pytest.mark.parametrize(("shape", "expected"), [((59, 45), 1182590), ((125, 95), 3678590)])
def test_convolutional_networks_have_the_published_size(shape, expected):
    assert count_parameters(build_model(CNN, (1, *shape))) == expected


@pytest.mark.parametrize(("n_features", "expected"), [(6, 9541), (5, 9523)])
def test_particle_transformers_have_the_published_size(n_features, expected):
    assert count_parameters(build_model(PART, (n_features,))) == expected


GLOROT = {"initial_weights": "glorot"}


@pytest.mark.parametrize(
    ("model_config", "shape"),
    [(CNN, (1, 59, 45)), (EVENT_CNN | GLOROT, (3, 40, 40)), (PART | GLOROT, (6,))],
)
def test_weights_start_as_glorot_and_biases_at_zero(model_config, shape):
    torch.manual_seed(1)
    model = build_model(model_config, shape)
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            area = layer.weight[0, 0].numel()
            fan = (layer.weight.shape[0] + layer.weight.shape[1]) * area
            bound = math.sqrt(6 / fan)
            assert layer.weight.abs().max() <= bound
            spread = max(0.1, 4 / math.sqrt(layer.weight.numel()))
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=spread)
            assert layer.bias is None or (layer.bias == 0).all()


def test_weights_start_as_torch_draws_them_unless_asked():
    torch.manual_seed(1)
    plain = build_model(EVENT_CNN, (3, 40, 40))
    torch.manual_seed(1)
    named = build_model(EVENT_CNN | {"initial_weights": "torch"}, (3, 40, 40))
    for a, b in zip(plain.parameters(), named.parameters(), strict=True):
        assert torch.equal(a, b)
    first = plain.convolutions[1]
    assert first.weight.abs().max() <= 1 / math.sqrt(3 * 9)
    assert first.bias.abs().max() > 0


def test_unknown_initial_weights():
    with pytest.raises(ConfigError, match=r"initial_weights.*'he'.*torch, glorot"):
        build_model(PART | {"initial_weights": "he"}, (6,))


def test_convolution_keeps_the_shape_and_pads_as_same():
    model = build_model(CNN | {"filters": 3, "dense": [5]}, (1, 20, 16))
    images = torch.rand(2, 1, 20, 16)
    first = model.convolutions[:3](images)
    conv = model.convolutions[1]
    with pytest.warns(UserWarning, match="same"):
        expected = functional.conv2d(images, conv.weight, conv.bias, padding="same").relu()
    assert first.shape == (2, 3, 20, 16)
    torch.testing.assert_close(first, expected)
    assert model(images).shape == (2, 2)


@pytest.fixture
def particles():
    torch.manual_seed(3)
    features = torch.randn(4, 12, 5)
    mask = torch.arange(12) < torch.tensor([12, 7, 1, 10])[:, None]
    return features * mask[..., None], mask


@pytest.fixture
def transformer():
    torch.manual_seed(4)
    model = build_model(PART | {"particle_blocks": 2, "class_blocks": 2}, (5,))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


def test_transformer_ignores_the_order_of_particles(transformer, particles):
    features, mask = particles
    order = torch.randperm(12)
    reordered = transformer(features[:, order], mask[:, order])
    torch.testing.assert_close(reordered, transformer(features, mask), atol=1e-5, rtol=1e-5)


def test_transformer_ignores_padding_and_what_is_in_it(transformer, particles):
    features, mask = particles
    expected = transformer(features, mask)
    padded = functional.pad(features, (0, 0, 0, 6), value=99.0)
    padded[:, :12][~mask] = -77.0
    longer = functional.pad(mask, (0, 6))
    torch.testing.assert_close(transformer(padded, longer), expected, atol=1e-5, rtol=1e-5)
    alone = transformer(features[1:2, :7], mask[1:2, :7])
    torch.testing.assert_close(alone, expected[1:2], atol=1e-5, rtol=1e-5)


def test_transformer_sees_every_particle(transformer, particles):
    features, mask = particles
    features = features.clone().requires_grad_()
    transformer(features, mask).sum().backward()
    seen = features.grad.abs().sum(-1) > 0
    assert torch.equal(seen, mask)


def test_transformer_is_finite_for_an_event_without_particles(transformer, particles):
    features, _ = particles
    output = transformer(features, torch.zeros(4, 12, dtype=torch.bool))
    assert output.isfinite().all()
    assert output.shape == (4, 1)
    output.sum().backward()
    gradients = [p.grad for p in transformer.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_dropout_is_in_particle_blocks_and_head_only():
    model = build_model(PART, (5,))
    rates = {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert {rate for name, rate in rates.items() if name.startswith("class_blocks")} == {0}
    assert {rate for name, rate in rates.items() if not name.startswith("class_blocks")} == {0.1}


def test_score_of_two_outputs_is_the_softmax_and_of_one_the_sigmoid():
    two, one = torch.randn(6, 2), torch.randn(6, 1)
    torch.testing.assert_close(signal_score(two), two.softmax(1)[:, 1])
    torch.testing.assert_close(signal_score(one), one.sigmoid()[:, 0])
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    torch.testing.assert_close(
        functional.binary_cross_entropy_with_logits(signal_logit(two), labels.float()),
        functional.cross_entropy(two, labels),
    )


@pytest.mark.parametrize(
    ("config", "shape", "words"),
    [
        ({"name": "densenet"}, (8,), "densenet"),
        ({"name": "dense", "hidden": [3], "activation": "step"}, (8,), "step"),
        ({"name": "dense", "hidden": [3], "activation": "relu", "width": 3}, (8,), "width"),
        (CNN, (8,), "image"),
        (PART, (1, 59, 45), "set"),
        (CNN | {"blocks": 6}, (1, 59, 45), "halvings"),
    ],
)
def test_wrong_configurations_are_named(config, shape, words):
    with pytest.raises(ConfigError, match=words):
        build_model(config, shape)


PUBLISHED_SIZES = {
    "ann_k": 210,
    "ann_r": 991,
    "ann_h": 2790,
    "cnn_pj_lr": 1182590,
    "cnn_pj_hr": 3678590,
    "cnn_pmet_lr": 1182590,
    "cnn_pmet_hr": 3678590,
}


def input_shape(study, classifier):
    """What the inputs of a classifier of a study would report."""
    source = classifier["input"]
    if "features" in source:
        return (sum(len(FEATURE_GROUPS[group]) for group in source["features"]),)
    image = study["represent"]["images"][source["image"]]
    empty = np.zeros(0)
    geometry = {key: image[key] for key in ("eta_bins", "phi_bins", "phi_padding")}
    return SparseImages(np.zeros(1, np.int64), empty, empty, **geometry).input_shape


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED_SIZES.items())
def test_every_network_of_the_study_is_the_published_one(hinv, name, parameters):
    classifier = hinv["classifiers"][name]
    shape = input_shape(hinv, classifier)
    assert count_parameters(build_model(classifier["model"], shape)) == parameters
    epochs = 20 if name.startswith("cnn") else 200 if name == "ann_k" else 1000
    assert classifier["training"] == {
        "optimiser": "nadam",
        "learning_rate": 1e-3,
        "batch_size": 300,
        "max_epochs": epochs,
        "monitor": "accuracy",
    }


def test_pixels_and_padding_of_the_study_are_the_published_ones(hinv):
    for name, pixel, shape in [("lr", 0.17, (1, 59, 45)), ("hr", 0.08, (1, 125, 95))]:
        for frame, reference in [("pj", "leading_jet"), ("pmet", "missing_et")]:
            image = hinv["represent"]["images"][f"{frame}_{name}"]
            assert image["reference"] == reference
            assert input_shape(hinv, {"input": {"image": f"{frame}_{name}"}}) == shape
            assert 10 / image["eta_bins"] == pytest.approx(pixel, abs=0.005)
            assert 2 * math.pi / image["phi_bins"] == pytest.approx(pixel, abs=0.005)
