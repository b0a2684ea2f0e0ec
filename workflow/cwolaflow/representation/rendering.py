"""Images of constituents: one channel a kind, rendered one batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cwolaflow.errors import ConfigError
from cwolaflow.representation.constituents import DECAY_PRODUCT, ConstituentInputs
from cwolaflow.representation.images import pixel_index

if TYPE_CHECKING:
    import torch

    from cwolaflow.representation.augmentation import Copies

STD_FLOOR = 1e-8
OPTIONS = {"out_of_range": ("clip", "drop"), "standardise": ("event", "none")}


def standardise_images(images: np.ndarray) -> np.ndarray:
    """Shift and scale every channel of every image to mean 0 and population deviation 1.

    Parameters
    ----------
    images : ndarray of float, shape (n, channels, rows, columns)

    Returns
    -------
    ndarray of float, same shape
        All pixels count, dark ones too; the deviation is floored at `STD_FLOOR`.
    """
    # Reductions over one contiguous axis are several times faster than over two.
    channels = images.reshape(-1, images.shape[2] * images.shape[3])
    centred = channels - channels.mean(axis=1, keepdims=True)
    std = np.sqrt(np.einsum("ij,ij->i", centred, centred) / centred.shape[1])
    centred /= np.maximum(std, STD_FLOOR)[:, None]
    return centred.reshape(images.shape)


class RenderedImages(ConstituentInputs):
    """Images of ΣpT (E_T of towers), one channel a kind of constituent.

    Without decay products, towers and tracks are dark in every pixel that a decay product lights,
    and there is no channel of decay products. Source: arXiv:2511.18726 and its code.

    Parameters
    ----------
    offsets, columns, decay_products
        See `ConstituentInputs`.
    eta_bins, phi_bins : int
        Equal bins over ``eta_range`` and [-π, π).
    eta_range : (float, float)
    out_of_range : str
        What lies outside ``eta_range``: ``clip`` to the outermost pixels, as published, or
        ``drop``.
    standardise : str
        ``event``: `standardise_images`, as published; ``none``: pixels in GeV.

    Raises
    ------
    ConfigError
        An option is unknown.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        columns: dict[str, np.ndarray],
        decay_products: str | None = None,
        *,
        eta_bins: int,
        phi_bins: int,
        eta_range: tuple[float, float],
        out_of_range: str = "clip",
        standardise: str = "event",
    ) -> None:
        super().__init__(offsets, columns, decay_products)
        for key, value in (("out_of_range", out_of_range), ("standardise", standardise)):
            if value not in OPTIONS[key]:
                raise ConfigError(
                    f"'input.image.{key}': {value!r} is unknown; "
                    f"choose from {', '.join(OPTIONS[key])}"
                )
        self.eta_bins, self.phi_bins, self.eta_range = eta_bins, phi_bins, eta_range
        self.is_clipped, self.is_standardised = out_of_range == "clip", standardise == "event"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (channels, eta_bins, phi_bins)."""
        return self.n_kinds, self.eta_bins, self.phi_bins

    def batch(
        self, indices: torch.Tensor, augmentation: Copies | None = None
    ) -> tuple[torch.Tensor]:
        """Give the model's arguments for some events.

        Parameters
        ----------
        indices : int64 tensor, shape (n,)
        augmentation : Copies, optional
            Which example of each event; the events themselves if not given.

        Returns
        -------
        images : float32 tensor, shape (n, channels, eta_bins, phi_bins)
        """
        import torch

        particles = self.take(indices, augmentation)
        eta = particles.eta.astype(np.float64)
        if self.is_clipped:
            eta = np.clip(eta, *self.eta_range)
        phi = particles.phi.astype(np.float64)
        pixel = pixel_index(eta, phi, self.eta_bins, self.phi_bins, self.eta_range)
        inside = pixel >= 0
        channels = DECAY_PRODUCT + (self.decay_products is not None)
        n_pixels = self.eta_bins * self.phi_bins
        index = (particles.row * channels + particles.kind) * n_pixels + pixel
        images = np.bincount(
            index[inside],
            weights=particles.pt[inside],
            minlength=len(indices) * channels * n_pixels,
        ).reshape(len(indices), channels, self.eta_bins, self.phi_bins)
        if self.decay_products == "without":
            is_lit = images[:, DECAY_PRODUCT:] > 0
            images = np.where(is_lit, 0.0, images[:, :DECAY_PRODUCT])
        if self.is_standardised:
            images = standardise_images(images)
        return (torch.from_numpy(images.astype(np.float32)),)
