"""Weights before the first step."""

from torch import nn

from cwolaflow.errors import ConfigError

INITIAL_WEIGHTS = ("torch", "glorot")


def glorot_initialise(model: nn.Module) -> None:
    """Draw weights from Glorot's uniform distribution and set biases to zero, in place.

    This is the default of Keras, with which the networks of arXiv:2008.05434 were trained; with
    torch's default the gradient of eight sigmoid layers vanishes.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialise(model: nn.Module, name: str) -> None:
    """Draw the weights of a network that its layers have initialised, in place.

    Parameters
    ----------
    model : torch.nn.Module
    name : str
        ``torch``: leave what the layers have drawn, torch's default, whose weights have a third of
        the variance of Glorot's in a layer of equal widths; ``glorot``: `glorot_initialise`.

    Raises
    ------
    ConfigError
        The name is unknown.
    """
    if name not in INITIAL_WEIGHTS:
        raise ConfigError(
            f"'model.initial_weights': {name!r} is unknown; choose from "
            f"{', '.join(INITIAL_WEIGHTS)}"
        )
    if name == "glorot":
        glorot_initialise(model)
