"""Residual network on images of whole events."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cwolaflow.errors import ConfigError
from cwolaflow.models.initial_weights import initialise


class _Residual(nn.Module):
    """Two convolutions of 3 × 3 pixels whose result is added to what went in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.convolutions(images)


class EventCNN(nn.Module):
    """Event-CNN of arXiv:2511.18726, after arXiv:2209.05518.

    Batch normalisation of the image; convolutions of 3 × 3 pixels without padding, each with ReLU;
    a maximum pool 3 × 3, before the ReLU of the last of them; residual blocks; one more
    convolution; the mean over the pixels; dense layers with ReLU, with dropout after all but the
    last; one output.

    Parameters
    ----------
    input_shape : (int, int, int)
        Channels, rows in η, columns in φ.
    filters : sequence of int
        Filters of the convolutions before the pool; the last serve after it, too.
    residual_blocks : int
    dense : sequence of int
        Widths of the dense layers.
    dropout : float
    initial_weights : str
        See `initialise`.

    Raises
    ------
    ConfigError
        The image is too small, or the name of the initial weights unknown.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        filters: Sequence[int],
        residual_blocks: int,
        dense: Sequence[int],
        dropout: float = 0.0,
        initial_weights: str = "torch",
    ) -> None:
        super().__init__()
        channels, *sides = input_shape
        if min((side - 2 * len(filters)) // 3 - 2 for side in sides) < 1:
            raise ConfigError(
                f"'model.filters': {len(filters)} convolutions, a pool and one more convolution "
                f"leave nothing of an image of {sides[0]} × {sides[1]} pixels; use fewer"
            )
        layers: list[nn.Module] = [nn.BatchNorm2d(channels)]
        for width in filters:
            layers += [nn.Conv2d(channels, width, 3), nn.ReLU(inplace=True)]
            channels = width
        # A maximum of ReLUs is the ReLU of the maximum, of a ninth of the pixels.
        layers.insert(-1, nn.MaxPool2d(3))
        layers += [_Residual(channels) for _ in range(residual_blocks)]
        layers += [nn.Conv2d(channels, channels, 3), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers)
        head: list[nn.Module] = []
        for width in dense:
            head += [nn.Linear(channels, width), nn.ReLU(), nn.Dropout(dropout)]
            channels = width
        self.head = nn.Sequential(*head[:-1], nn.Linear(channels, 1))
        initialise(self, initial_weights)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, channels, rows, columns) to the logit of signal (n, 1)."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.head(self.convolutions(images).mean(dim=(2, 3)))
