"""Calorimeter images: sparse on disk and in memory, dense one batch at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from cwolaflow.errors import InputError
from cwolaflow.files import open_parquet
from cwolaflow.representation.jagged import gather, read_lists

if TYPE_CHECKING:
    import torch

METADATA_KEY = b"cwolaflow"
GEOMETRY_KEYS = ("eta_bins", "phi_bins", "phi_padding")


def pixel_index(
    eta: np.ndarray,
    phi: np.ndarray,
    eta_bins: int,
    phi_bins: int,
    eta_range: tuple[float, float],
) -> np.ndarray:
    """Number the pixel of a direction ``eta_bin * phi_bins + phi_bin``.

    Parameters
    ----------
    eta, phi : ndarray of float64, shape (n,)
        φ in [-π, π).
    eta_bins, phi_bins : int
        Equal bins over ``eta_range`` and [-π, π).
    eta_range : (float, float)
        Lower and upper edge, both inside.

    Returns
    -------
    ndarray of int64, shape (n,)
        -1 where η is out of range.
    """
    low, high = eta_range
    inside = (eta >= low) & (eta <= high)
    eta_bin = np.floor((np.where(inside, eta, low) - low) / (high - low) * eta_bins)
    phi_bin = np.floor((phi + np.pi) / (2 * np.pi) * phi_bins)
    eta_bin = np.clip(eta_bin, 0, eta_bins - 1).astype(np.int64)
    phi_bin = np.clip(phi_bin, 0, phi_bins - 1).astype(np.int64)
    return np.where(inside, eta_bin * phi_bins + phi_bin, -1)


def read_sparse(
    paths: Sequence[str | Path],
) -> tuple[dict[str, int], np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Read files of sparse images, one sample after the other.

    Returns
    -------
    geometry : dict
        As given to `build_images.sparse_schema`.
    event_id, offsets, values
        Of `jagged.read_lists` for ``pixel`` and ``value``.

    Raises
    ------
    InputError
        A file is missing, damaged, no image file, or has another geometry than the first.
    """
    geometries = []
    for path in paths:
        with open_parquet(path) as file:
            metadata = file.schema_arrow.metadata or {}
        if METADATA_KEY not in metadata:
            raise InputError(f"{path}: has no image geometry; it is no image file")
        geometries.append(json.loads(metadata[METADATA_KEY]))
        if geometries[-1] != geometries[0]:
            raise InputError(f"{path}: its geometry differs from that of {paths[0]}")
    return geometries[0], *read_lists(paths, ["pixel", "value"])


class SparseImages:
    """Images of many events, each stored as its lit pixels.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Lit pixels of event i are ``offsets[i]:offsets[i + 1]``.
    pixels : ndarray of int32, shape (n_lit,)
        ``eta_bin * phi_bins + phi_bin``, no pixel twice in an event.
    values : ndarray of float32, shape (n_lit,)
        GeV.
    eta_bins, phi_bins, phi_padding : int
        Geometry; ``phi_padding`` columns are repeated from the other edge on either side.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        pixels: np.ndarray,
        values: np.ndarray,
        eta_bins: int,
        phi_bins: int,
        phi_padding: int,
    ) -> None:
        self.offsets, self.pixels, self.values = offsets, pixels, values
        self.eta_bins, self.phi_bins, self.phi_padding = eta_bins, phi_bins, phi_padding
        self.scale = 1.0

    @classmethod
    def read(cls, paths: Sequence[str | Path]) -> tuple[Self, np.ndarray]:
        """Read image files, one sample after the other.

        Returns
        -------
        images : SparseImages
        event_id : ndarray of int64, shape (n_events,)

        Raises
        ------
        InputError
            See `read_sparse`.
        """
        geometry, event_id, offsets, lists = read_sparse(paths)
        return cls(offsets, lists["pixel"], lists["value"], **geometry), event_id

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one dense image: (1, eta_bins, phi_bins + 2 * phi_padding)."""
        return 1, self.eta_bins, self.phi_bins + 2 * self.phi_padding

    def dense(self, indices: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Make the images of some events, padded periodically in φ.

        Parameters
        ----------
        indices : int64 tensor, shape (n,)
            Events.
        dtype : torch.dtype, optional
            Of the result; float32 if not given.

        Returns
        -------
        tensor, shape (n, 1, eta_bins, phi_bins + 2 * phi_padding)
            GeV, divided by the scale of `scaled`.
        """
        import torch

        dtype = dtype or torch.float32
        row, _, entry = gather(self.offsets, indices.numpy())
        pixels, values = (torch.from_numpy(x[entry]) for x in (self.pixels, self.values))
        images = torch.zeros(len(indices), self.eta_bins * self.phi_bins, dtype=dtype)
        images[torch.from_numpy(row), pixels.long()] = (values / self.scale).to(dtype)
        images = images.view(-1, 1, self.eta_bins, self.phi_bins)
        pad = self.phi_padding
        return torch.cat([images[..., self.phi_bins - pad :], images, images[..., :pad]], dim=-1)

    def energies(self, row: int) -> np.ndarray:
        """Give the image of one event as `dense` does, without scale.

        Returns
        -------
        ndarray of float32, shape (eta_bins, phi_bins + 2 * phi_padding)
            GeV.
        """
        lit = slice(*self.offsets[row : row + 2])
        image = np.zeros((self.eta_bins, self.phi_bins), np.float32)
        image.flat[self.pixels[lit]] = self.values[lit]
        return np.pad(image, ((0, 0), (self.phi_padding, self.phi_padding)), mode="wrap")

    def averages(self, processes: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Average the images of each process.

        Parameters
        ----------
        processes : ndarray of str, shape (n_events,)
        weights : ndarray of float, shape (n_events,)
            Weights of the events in the average.

        Returns
        -------
        dict of ndarray
            Mean ΣE_T in GeV by process, float64, shape (eta_bins, phi_bins), without padding.
        """
        event = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        energy = self.values * weights[event]
        averages = {}
        for process in np.unique(processes):
            chosen = processes == process
            lit = chosen[event]
            total = np.bincount(
                self.pixels[lit],
                weights=energy[lit],
                minlength=self.eta_bins * self.phi_bins,
            )
            mean = total / weights[chosen].sum()
            averages[str(process)] = mean.reshape(self.eta_bins, self.phi_bins)
        return averages

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give the model's arguments for some events: the dense images."""
        return (self.dense(indices),)

    def times(self, factor: float) -> Self:
        """Give the images with all energies multiplied by a factor."""
        images = type(self)(
            self.offsets,
            self.pixels,
            self.values * factor,
            self.eta_bins,
            self.phi_bins,
            self.phi_padding,
        )
        images.scale = self.scale
        return images

    def fit_scaler(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Find the root mean square of the lit pixels of the events ``rows``, in GeV."""
        import torch

        _, _, entry = gather(self.offsets, rows)
        mean_square = torch.from_numpy(self.values[entry]).double().square().mean()
        return {"scale": mean_square.sqrt().float()}

    def scaled(self, scaler: dict[str, torch.Tensor]) -> Self:
        """Give the same images in units of ``scaler["scale"]``; nothing is copied."""
        images = type(self)(
            self.offsets, self.pixels, self.values, self.eta_bins, self.phi_bins, self.phi_padding
        )
        images.scale = scaler["scale"]
        return images
