"""Convolutional network on calorimeter images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cwolaflow.errors import ConfigError
from cwolaflow.models.initial_weights import glorot_initialise


def _same_convolution(n_in: int, n_out: int, kernel: int) -> list[nn.Module]:
    low, high = (kernel - 1) // 2, kernel // 2
    # padding="same" does this too, but warns at every even kernel.
    return [nn.ZeroPad2d((low, high, low, high)), nn.Conv2d(n_in, n_out, kernel), nn.ReLU()]


class ConvolutionalNetwork(nn.Module):
    """CNN of arXiv:2008.05434 with two outputs.

    Blocks of two convolutions (same padding, ReLU) and an average pool 2 × 2, then dense layers.

    Parameters
    ----------
    input_shape : (int, int, int)
        Channels, rows in η, columns in φ (padding included).
    filters, kernel, blocks : int
        Filters and kernel width of every convolution, and number of blocks.
    dense : sequence of int
        Widths of the dense ReLU layers.

    Raises
    ------
    ConfigError
        The image is too small for so many blocks.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        filters: int,
        kernel: int,
        blocks: int,
        dense: Sequence[int],
    ) -> None:
        super().__init__()
        channels, rows, columns = input_shape
        rows, columns = rows >> blocks, columns >> blocks
        if not rows * columns:
            raise ConfigError(
                f"'model.blocks': {blocks} halvings leave nothing of an image of "
                f"{input_shape[1]} × {input_shape[2]} pixels; use fewer"
            )
        layers: list[nn.Module] = []
        for _ in range(blocks):
            layers += _same_convolution(channels, filters, kernel)
            layers += _same_convolution(filters, filters, kernel)
            layers.append(nn.AvgPool2d(2))
            channels = filters
        self.convolutions = nn.Sequential(*layers)
        head: list[nn.Module] = [nn.Flatten()]
        width = channels * rows * columns
        for next_width in dense:
            head += [nn.Linear(width, next_width), nn.ReLU()]
            width = next_width
        self.head = nn.Sequential(*head, nn.Linear(width, 2))
        glorot_initialise(self)
        # 1.5 times faster on a CPU than the default layout.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, channels, rows, columns) to logits (n, 2) of background and signal."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.head(self.convolutions(images))
