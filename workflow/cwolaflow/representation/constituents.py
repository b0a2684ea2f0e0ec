"""Constituents of many events in memory: towers, tracks and decay products of the Higgs boson."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.representation.jagged import gather, read_lists

if TYPE_CHECKING:
    import torch

    from cwolaflow.representation.augmentation import Copies

KINDS = ("tower", "track", "decay_product")
"""Kinds of constituents; the place here is the number in ``kind``."""

DECAY_PRODUCT = KINDS.index("decay_product")


@dataclass(frozen=True)
class Particles:
    """Constituents of the events of a batch, flat.

    Attributes
    ----------
    n_events : int
    row : ndarray of int64, shape (n,)
        Place of the event in the batch, rising.
    place : ndarray of int64, shape (n,)
        Place of the particle in its event, as stored.
    pt, eta, phi : ndarray of float, shape (n,)
        GeV and rad, φ in [-π, π).
    kind : ndarray of int8, shape (n,)
        Place in `KINDS`.
    """

    n_events: int
    row: np.ndarray
    place: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    kind: np.ndarray

    def where(self, chosen: np.ndarray) -> Self:
        """Give the particles with ``chosen`` true, shape (n,)."""
        columns = ("row", "place", "pt", "eta", "phi", "kind")
        return replace(self, **{name: getattr(self, name)[chosen] for name in columns})

    def counts(self) -> np.ndarray:
        """Count the particles of each event, int64, shape (n_events,)."""
        return np.bincount(self.row, minlength=self.n_events)


class ConstituentInputs:
    """Inputs made from constituents one batch at a time, so that these can change before.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Particles of event i are ``offsets[i]:offsets[i + 1]``.
    columns : dict of ndarray, shape (n_particles,)
        ``pt`` (GeV), ``eta``, ``phi`` (float32) and ``kind`` (int8), see `Particles`.
    decay_products : str, optional
        ``with`` or ``without`` those of a set that has them; None for a set that has none.

    Raises
    ------
    ConfigError
        ``decay_products`` is something else.
    InputError
        ``decay_products`` is None and there are some.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        columns: dict[str, np.ndarray],
        decay_products: str | None = None,
    ) -> None:
        if decay_products not in (None, "with", "without"):
            raise ConfigError(
                f"'input.decay_products': {decay_products!r} is unknown; choose from with, without"
            )
        if decay_products is None and (columns["kind"] == DECAY_PRODUCT).any():
            raise InputError(
                "set: has decay products, but 'input.decay_products' is not given; "
                "choose from with, without"
            )
        self.offsets, self.columns = offsets, columns
        self.decay_products = decay_products

    @classmethod
    def read(cls, paths: Sequence[str | Path], **options: Any) -> tuple[Self, np.ndarray]:
        """Read set files, one sample after the other.

        Parameters
        ----------
        paths : sequence of str or Path
            From `build_sets.build_sets`.
        **options
            Of the class.

        Returns
        -------
        inputs : ConstituentInputs
        event_id : ndarray of int64, shape (n_events,)

        Raises
        ------
        InputError
            A file is missing or damaged.
        """
        event_id, offsets, columns = read_lists(paths, ["pt", "eta", "phi", "kind"])
        return cls(offsets, columns, **options), event_id

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_kinds(self) -> int:
        """Number of kinds that the network sees, the first ones of `KINDS`."""
        return len(KINDS) if self.decay_products == "with" else DECAY_PRODUCT

    def take(self, indices: torch.Tensor, augmentation: Copies | None = None) -> Particles:
        """Gather the constituents of some events, of every kind, and augment them."""
        row, place, entry = gather(self.offsets, indices.numpy())
        columns = {name: values[entry] for name, values in self.columns.items()}
        particles = Particles(len(indices), row, place, **columns)
        if augmentation is None:
            return particles
        return augmentation.apply(particles, indices.numpy())

    def fit_scaler(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Nothing to fit: inputs are standardised within their event."""
        return {}

    def scaled(self, scaler: dict[str, torch.Tensor]) -> Self:
        """Give the inputs themselves."""
        return self
