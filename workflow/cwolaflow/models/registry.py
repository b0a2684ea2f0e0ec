"""Networks by the name that a study gives."""

from typing import Any

from torch import nn

from cwolaflow.errors import ConfigError
from cwolaflow.models.committee import Committee
from cwolaflow.models.convolutional import ConvolutionalNetwork
from cwolaflow.models.dense import DenseNetwork
from cwolaflow.models.event_cnn import EventCNN
from cwolaflow.models.jet_cnn import JetCNN
from cwolaflow.models.particle_transformer import ParticleTransformer
from cwolaflow.models.stacked_trees import StackedTrees
from cwolaflow.models.trees import BoostedTrees

# For each name: the class, the number of axes of one event's input, and the key of `input`.
MODELS = {
    "dense": (DenseNetwork, 1, "features"),
    "cnn": (ConvolutionalNetwork, 3, "image"),
    "event_cnn": (EventCNN, 3, "image"),
    "jet_cnn": (JetCNN, 4, "jets"),
    "particle_transformer": (ParticleTransformer, 1, "set"),
    "gradient_boosting": (BoostedTrees, 1, "features"),
}


def build_model(model_config: dict[str, Any], input_shape: tuple[int, ...]) -> nn.Module:
    """Build an untrained network; its weights come from torch's global generator.

    Parameters
    ----------
    model_config : dict
        ``name`` and the options of that network; with ``members``, a `Committee` of so many; trees
        with ``scores_of``, `StackedTrees` on ``networks`` networks of its ``model``.
    input_shape : tuple of int
        ``(n_features,)`` for ``dense`` and ``gradient_boosting``, ``(channels, rows, columns)`` for
        ``cnn`` and ``event_cnn``, ``(jets, channels, rows, columns)`` for ``jet_cnn``,
        ``(features of a particle,)`` for ``particle_transformer``; ``(n_features, *shape)`` for
        trees on scores of networks that take ``shape``.

    Returns
    -------
    torch.nn.Module
        Its output is for `signal_logit`.

    Raises
    ------
    ConfigError
        The name is unknown, an option is wrong, or the network does not take such input.
    """
    if "scores_of" in model_config:
        return _build_stacked(model_config, input_shape)
    options = dict(model_config)
    name, members = options.pop("name"), options.pop("members", 1)
    if name not in MODELS:
        raise ConfigError(f"'model.name': {name!r} is unknown; choose from {', '.join(MODELS)}")
    model, n_axes, input_kind = MODELS[name]
    if len(input_shape) != n_axes:
        raise ConfigError(f"'model.name': {name!r} needs `input: {{{input_kind}: ...}}`")
    shape = input_shape if n_axes > 1 else input_shape[0]
    try:
        if members > 1:
            return Committee(lambda: model(shape, **options), members)
        return model(shape, **options)
    except TypeError as error:
        raise ConfigError(f"'model': options of {name!r} are wrong ({error})") from error


def _build_stacked(model_config: dict[str, Any], input_shape: tuple[int, ...]) -> StackedTrees:
    scored, (n_features, *shape) = model_config["scores_of"], input_shape
    return StackedTrees(
        n_features,
        lambda: build_model(scored["model"], tuple(shape)),
        scored["networks"],
        n_scores=shape[0] if scored["model"]["name"] == "jet_cnn" else 1,
        **{key: value for key, value in model_config.items() if key not in ("name", "scores_of")},
    )


def is_boosted(model_config: dict[str, Any]) -> bool:
    """Whether a model consists of decision trees, which `learning.boosting` fits."""
    return MODELS.get(model_config["name"], (None,))[0] is BoostedTrees


def count_parameters(model: nn.Module) -> int:
    """Count the trainable parameters; of trees, thresholds and leaf values: one a node."""
    if isinstance(model, BoostedTrees):
        return len(model.value)
    if isinstance(model, StackedTrees):
        return count_parameters(model.trees) + count_parameters(model.networks)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
