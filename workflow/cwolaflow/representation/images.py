"""Calorimeter images: sparse on disk and in memory, dense one batch at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.errors import InputError
from cwolaflow.files import PARQUET_OPTIONS, atomic_path, open_parquet
from cwolaflow.kinematics import wrap_phi
from cwolaflow.representation.jagged import (
    flatten,
    gather,
    list_array,
    read_lists,
)
from cwolaflow.representation.pile_up import PileUp
from cwolaflow.representation.preprocessing import REFERENCE_COLUMNS, reference_frame, to_frame
from cwolaflow.selection.skim import ROW_GROUP_EVENTS, iterate_skim

if TYPE_CHECKING:
    import torch

METADATA_KEY = b"cwolaflow"
GEOMETRY_KEYS = ("eta_bins", "phi_bins", "phi_padding")
SKIM_COLUMNS = ("event_id", "tower_et", "tower_eta", "tower_phi", *REFERENCE_COLUMNS)


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


def sparse_schema(geometry: dict[str, int]) -> pa.Schema:
    """Columns of a file of sparse images, with their geometry as metadata."""
    columns = {
        "event_id": pa.int64(),
        "pixel": pa.list_(pa.int32()),
        "value": pa.list_(pa.float32()),
    }
    return pa.schema(columns, metadata={METADATA_KEY: json.dumps(geometry)})


def sparse_batch(
    event_id: np.ndarray,
    rows: np.ndarray,
    pixels: np.ndarray,
    et: np.ndarray,
    n_pixels: int,
    schema: pa.Schema,
) -> pa.RecordBatch:
    """Sum what falls into each pixel of each event.

    Parameters
    ----------
    event_id : ndarray of int64, shape (n_events,)
    rows, pixels, et : ndarray, shape (n,)
        Event, pixel (-1 for none) and E_T or pT in GeV of every entry.
    n_pixels : int
        Of an event.
    schema : pyarrow.Schema
        From `sparse_schema`.

    Returns
    -------
    pyarrow.RecordBatch
        Of the events in turn; lit pixels are sorted.
    """
    inside = pixels >= 0
    keys, inverse = np.unique(rows[inside] * n_pixels + pixels[inside], return_inverse=True)
    sums = np.bincount(inverse, weights=et[inside], minlength=len(keys))
    lists = [
        pa.array(event_id),
        list_array(keys // n_pixels, (keys % n_pixels).astype(np.int32), len(event_id)),
        list_array(keys // n_pixels, sums.astype(np.float32), len(event_id)),
    ]
    return pa.record_batch(lists, schema=schema)


def read_sparse(
    paths: Sequence[str | Path],
) -> tuple[dict[str, int], np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Read files of sparse images, one sample after the other.

    Returns
    -------
    geometry : dict
        As given to `sparse_schema`.
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


def build_images(
    skim: str | Path,
    image_config: dict[str, Any],
    output: str | Path,
    batch_events: int = ROW_GROUP_EVENTS,
    pile_up_library: str | Path | None = None,
    pile_up_seed: int | None = None,
) -> None:
    """Write the sparse image of every event of a sample.

    A pixel is the ΣE_T of its towers in GeV, so that all pixels add up to H_T(η_C) with η_C the
    edge of the image, plus that of the pile-up. Towers out of ``eta_range`` are dropped; the CMS
    card of Delphes, which ends at |η| = 5, makes none.

    Parameters
    ----------
    skim : str or Path
        Skim of the sample.
    image_config : dict
        ``reference``, ``eta_bins``, ``phi_bins``, ``eta_range``, ``phi_padding`` of the study,
        and ``pile_up`` if minimum bias is to be overlaid. The frame is that of the hard event.
    output : str or Path
        Parquet with ``event_id``, ``pixel`` (list<int32>, sorted) and ``value`` (list<float32>,
        GeV), in the order of the skim.
    batch_events : int
        Events in memory at a time, at most; it does not change the images.
    pile_up_library : str or Path, optional
        Library of ``pile_up``.
    pile_up_seed : int, optional
        Seed of the overlay of this sample.

    Raises
    ------
    InputError
        The skim or library is damaged, lacks a column, or an event has no jets.
    ConfigError
        ``pile_up`` is there, but library or seed is not.
    """
    pile_up = PileUp.configured(image_config, pile_up_library, pile_up_seed)
    if pile_up:
        batch_events = pile_up.batch_events(batch_events)
    eta_bins, phi_bins = image_config["eta_bins"], image_config["phi_bins"]
    schema = sparse_schema({key: image_config[key] for key in GEOMETRY_KEYS})
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, schema, **PARQUET_OPTIONS) as writer,
    ):
        for events in iterate_skim(skim, SKIM_COLUMNS, batch_events):
            phi_zero, eta_sign = reference_frame(events, image_config["reference"])
            rows, eta = flatten(events["tower_eta"])
            _, phi = flatten(events["tower_phi"])
            _, et = flatten(events["tower_et"])
            if pile_up:
                rows, et, eta, phi = pile_up.add(events["event_id"], rows, et, eta, phi)
            eta, phi = to_frame(eta, phi, phi_zero[rows], eta_sign[rows])
            pixels = pixel_index(eta, phi, eta_bins, phi_bins, image_config["eta_range"])
            batch = sparse_batch(events["event_id"], rows, pixels, et, eta_bins * phi_bins, schema)
            writer.write_batch(batch)


def _detector_frame_sum(
    skim: str | Path,
    weights: np.ndarray,
    image_config: dict[str, Any],
    batch_events: int = ROW_GROUP_EVENTS,
) -> np.ndarray:
    """Σ weight · E_T in GeV of a sample's towers, shape (eta_bins, phi_bins)."""
    eta_bins, phi_bins = image_config["eta_bins"], image_config["phi_bins"]
    total = np.zeros(eta_bins * phi_bins)
    start = 0
    columns = ("tower_et", "tower_eta", "tower_phi")
    for events in iterate_skim(skim, columns, batch_events):
        rows, eta = flatten(events["tower_eta"])
        _, phi = flatten(events["tower_phi"])
        _, et = flatten(events["tower_et"])
        count = len(events["tower_eta"])
        chosen = weights[start : start + count]
        start += count
        if len(chosen) < count:
            break
        pixels = pixel_index(
            np.asarray(eta, np.float64),
            wrap_phi(np.asarray(phi, np.float64)),
            eta_bins,
            phi_bins,
            image_config["eta_range"],
        )
        inside = pixels >= 0
        total += np.bincount(
            pixels[inside], weights=(chosen[rows] * et)[inside], minlength=len(total)
        )
    if start != len(weights):
        raise InputError(
            f"{skim}: its events are not the {len(weights)} of the event table; make both again"
        )
    return total.reshape(eta_bins, phi_bins)


def detector_frame_averages(
    skims: Iterable[str | Path], tables: Iterable[pd.DataFrame], image_config: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Average the events of each process where the detector has them.

    Parameters
    ----------
    skims : iterable of str or Path
    tables : iterable of DataFrame
        Event table of each: ``process``, ``weight_fb``.
    image_config : dict
        ``eta_bins``, ``phi_bins``, ``eta_range`` of the study; pile-up is not overlaid.

    Returns
    -------
    dict of ndarray
        Mean ΣE_T in GeV by process, float64, shape (eta_bins, phi_bins).

    Raises
    ------
    InputError
        A skim has another number of events than its table.
    """
    sums: dict[str, np.ndarray] = {}
    totals: dict[str, float] = {}
    for skim, table in zip(skims, tables, strict=True):
        process, weights = str(table["process"].iloc[0]), table["weight_fb"].to_numpy()
        added = _detector_frame_sum(skim, weights, image_config)
        sums[process] = sums.get(process, 0) + added
        totals[process] = totals.get(process, 0) + weights.sum()
    return {process: sums[process] / totals[process] for process in sums}


class SparseImages:
    """Images of many events, each stored as its lit pixels.

    Parameters
    ----------
    offsets : int64 tensor, shape (n_events + 1,)
        Lit pixels of event i are ``offsets[i]:offsets[i + 1]``.
    pixels : int32 tensor, shape (n_lit,)
        ``eta_bin * phi_bins + phi_bin``, no pixel twice in an event.
    values : float32 tensor, shape (n_lit,)
        GeV.
    eta_bins, phi_bins, phi_padding : int
        Geometry; ``phi_padding`` columns are repeated from the other edge on either side.
    """

    def __init__(
        self,
        offsets: torch.Tensor,
        pixels: torch.Tensor,
        values: torch.Tensor,
        eta_bins: int,
        phi_bins: int,
        phi_padding: int,
    ) -> None:
        import torch

        self.offsets, self.pixels, self.values = offsets, pixels, values
        self.eta_bins, self.phi_bins, self.phi_padding = eta_bins, phi_bins, phi_padding
        self.scale = torch.tensor(1.0)

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
        import torch

        geometry, event_id, offsets, lists = read_sparse(paths)
        images = cls(
            torch.from_numpy(offsets),
            torch.from_numpy(lists["pixel"]),
            torch.from_numpy(lists["value"]),
            **geometry,
        )
        return images, event_id

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
        row, _, entry = gather(self.offsets, indices)
        images = torch.zeros(len(indices), self.eta_bins * self.phi_bins, dtype=dtype)
        images[row, self.pixels[entry].long()] = (self.values[entry] / self.scale).to(dtype)
        images = images.view(-1, 1, self.eta_bins, self.phi_bins)
        pad = self.phi_padding
        return torch.cat([images[..., self.phi_bins - pad :], images, images[..., :pad]], dim=-1)

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
        event = np.repeat(np.arange(len(self)), np.diff(self.offsets.numpy()))
        energy = self.values.numpy() * weights[event]
        averages = {}
        for process in np.unique(processes):
            chosen = processes == process
            lit = chosen[event]
            total = np.bincount(
                self.pixels.numpy()[lit],
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

        _, _, entry = gather(self.offsets, torch.from_numpy(rows))
        mean_square = self.values[entry].double().square().mean()
        return {"scale": mean_square.sqrt().float()}

    def scaled(self, scaler: dict[str, torch.Tensor]) -> Self:
        """Give the same images in units of ``scaler["scale"]``; nothing is copied."""
        images = type(self)(
            self.offsets, self.pixels, self.values, self.eta_bins, self.phi_bins, self.phi_padding
        )
        images.scale = scaler["scale"]
        return images
