"""Images of the two leading jets: constituents around the axis of each, sparse on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from cwolaflow.representation.images import read_sparse
from cwolaflow.representation.jagged import gather
from cwolaflow.representation.rendering import standardise_images

if TYPE_CHECKING:
    import torch

N_JETS = 2
CHANNELS = (("tower", "et"), ("track", "pt"))
"""Column prefix and momentum of each channel, in the order of `constituents.KINDS`."""


class JetImages:
    """Images of the two leading jets of many events, made dense one batch at a time.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Lit pixels of event i are ``offsets[i]:offsets[i + 1]``.
    pixels : ndarray of int32, shape (n_lit,)
        Numbered as in `build_jets.build_jet_images`.
    values : ndarray of float32, shape (n_lit,)
        GeV.
    bins : int
        Pixels a side.
    """

    def __init__(
        self, offsets: np.ndarray, pixels: np.ndarray, values: np.ndarray, bins: int
    ) -> None:
        self.offsets, self.pixels, self.values, self.bins = offsets, pixels, values, bins

    @classmethod
    def read(cls, paths: Sequence[str | Path]) -> tuple[Self, np.ndarray]:
        """Read files of `build_jets.build_jet_images`, one sample after the other.

        Returns
        -------
        images : JetImages
        event_id : ndarray of int64, shape (n_events,)

        Raises
        ------
        InputError
            See `images.read_sparse`.
        """
        geometry, event_id, offsets, lists = read_sparse(paths)
        return cls(offsets, lists["pixel"], lists["value"], **geometry), event_id

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of one event's images: (jets, channels, bins in η, bins in φ)."""
        return N_JETS, len(CHANNELS), self.bins, self.bins

    def dense(self, indices: torch.Tensor) -> np.ndarray:
        """Make the images of some events, GeV, float32, shape (n, *input_shape)."""
        row, _, entry = gather(self.offsets, indices.numpy())
        images = np.zeros((len(indices), math.prod(self.input_shape)), np.float32)
        images[row, self.pixels[entry]] = self.values[entry]
        return images.reshape(-1, *self.input_shape)

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor]:
        """Give the model's arguments for some events.

        Parameters
        ----------
        indices : int64 tensor, shape (n,)

        Returns
        -------
        images : float32 tensor, shape (n, *input_shape)
            Every channel of every jet standardised, see `rendering.standardise_images`.
        """
        import torch

        images = self.dense(indices)
        standardised = standardise_images(images.reshape(-1, *self.input_shape[1:]))
        return (torch.from_numpy(standardised.reshape(images.shape)),)

    def fit_scaler(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Nothing to fit: images are standardised one by one."""
        return {}

    def scaled(self, scaler: dict[str, torch.Tensor]) -> Self:
        """Give the images themselves."""
        return self
