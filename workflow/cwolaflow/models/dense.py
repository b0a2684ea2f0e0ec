"""Dense networks on high-level features."""

from collections.abc import Sequence

from torch import Tensor, nn

from cwolaflow.errors import ConfigError
from cwolaflow.models.initial_weights import glorot_initialise

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU}


class DenseNetwork(nn.Sequential):
    """Fully connected network with two outputs (arXiv:2008.05434, ANNs K, R and H).

    Parameters
    ----------
    n_features : int
    hidden : sequence of int
        Widths of the hidden layers.
    activation : str
        One of `ACTIVATIONS`.

    Raises
    ------
    ConfigError
        The activation is unknown.
    """

    def __init__(self, n_features: int, hidden: Sequence[int], activation: str = "relu") -> None:
        if activation not in ACTIVATIONS:
            raise ConfigError(
                f"'model.activation': {activation!r} is unknown; "
                f"choose from {', '.join(ACTIVATIONS)}"
            )
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(n_features, width), ACTIVATIONS[activation]()]
            n_features = width
        super().__init__(*layers, nn.Linear(n_features, 2))
        glorot_initialise(self)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, n_features) to logits (n, 2) of background and signal."""
        return super().forward(features)
