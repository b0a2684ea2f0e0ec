"""What a GPU computes is what a CPU computes; run where there is one."""

import numpy as np
import pytest
import torch

from cwolaflow.learning.crossfit import score_crossfit, train_crossfit
from cwolaflow.learning.inputs import FeatureTable
from cwolaflow.models import build_model, signal_logit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

EVENT_CNN = {"name": "event_cnn", "filters": [8, 16], "residual_blocks": 1, "dense": [16, 8]}
NETWORKS = {
    "dense": ({"name": "dense", "hidden": [8, 4], "activation": "relu"}, (6,)),
    "cnn": ({"name": "cnn", "filters": 8, "kernel": 4, "blocks": 2, "dense": [20]}, (1, 20, 16)),
    "event_cnn": (EVENT_CNN, (3, 40, 40)),
    "jet_cnn": (EVENT_CNN | {"name": "jet_cnn"}, (2, 2, 33, 33)),
    "particle_transformer": (
        {
            "name": "particle_transformer",
            "embedding": [16, 32, 16],
            "heads": 4,
            "feed_forward": 32,
            "particle_blocks": 1,
            "class_blocks": 1,
        },
        (5,),
    ),
}


def _arguments(name, shape, n=24):
    generator = torch.Generator().manual_seed(3)
    if name != "particle_transformer":
        return (torch.randn(n, *shape, generator=generator),)
    lengths = torch.randint(1, 30, (n, 1), generator=generator)
    return torch.randn(n, 30, *shape, generator=generator), torch.arange(30) < lengths


def _logits_and_gradients(model, arguments, device):
    model = model.to(device)
    model.zero_grad()
    logits = signal_logit(model(*(tensor.to(device) for tensor in arguments)))
    logits.square().sum().backward()
    gradients = [p.grad.cpu().clone() for p in model.parameters()]
    return logits.detach().cpu(), gradients


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_gradients_equal_those_of_the_cpu(name, monkeypatch):
    model_config, shape = NETWORKS[name]
    torch.manual_seed(1)
    model = build_model(model_config, shape).eval()
    arguments = _arguments(name, shape)
    # Convolutions of float32 otherwise have the ten bits of TF32 on a GPU.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    expected, expected_gradients = _logits_and_gradients(model, arguments, "cpu")
    found, gradients = _logits_and_gradients(model, arguments, "cuda")
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        size = wanted.abs().max().item()
        torch.testing.assert_close(gradient, wanted, rtol=1e-2, atol=1e-3 * size + 1e-6)


@pytest.fixture
def events_and_features():
    import pandas as pd

    rng = np.random.default_rng(5)
    n = 2000
    label = np.arange(n) % 2
    events = pd.DataFrame(
        {
            "label": label,
            "process": np.where(label == 1, "vbf", "ggf"),
            "fold": np.arange(n) // 2 % 2,
            "weight_fb": 1.0,
        }
    )
    features = rng.normal(size=(n, 4)) + label[:, None]
    return events, FeatureTable(torch.from_numpy(features.astype(np.float32)))


def test_a_training_learns_and_repeats_itself(events_and_features):
    events, inputs = events_and_features
    classifier = {
        "model": {"name": "dense", "hidden": [16, 8], "activation": "relu"},
        "training": {
            "optimiser": "adam",
            "learning_rate": 3e-3,
            "batch_size": 100,
            "max_epochs": 20,
            "monitor": "loss",
        },
    }
    scores = []
    for _ in range(2):
        ensemble, history, summary = train_crossfit(
            events, inputs, classifier, {}, None, 7, 2, 0.2, device="auto"
        )
        assert summary["device"] == "cuda"
        scores.append(score_crossfit(ensemble, inputs, events["fold"].to_numpy()))
    np.testing.assert_array_equal(*scores)
    assert history["valid_auc"].iloc[-1] > 0.88
    on_cpu = score_crossfit(ensemble, inputs, events["fold"].to_numpy(), device="cpu")
    np.testing.assert_allclose(on_cpu, scores[0], atol=1e-3)
