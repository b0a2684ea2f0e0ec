"""Calorimeter images made from the skim: sparse files, and averages as the detector has them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.errors import InputError
from cwolaflow.files import atomic_path, parquet_options
from cwolaflow.kinematics import wrap_phi
from cwolaflow.representation.images import GEOMETRY_KEYS, METADATA_KEY, pixel_index
from cwolaflow.representation.jagged import flatten, list_array
from cwolaflow.representation.pile_up import PileUp
from cwolaflow.representation.preprocessing import REFERENCE_COLUMNS, reference_frame, to_frame
from cwolaflow.selection.skimmed import ROW_GROUP_EVENTS, iterate_skim

SKIM_COLUMNS = ("event_id", "tower_et", "tower_eta", "tower_phi", *REFERENCE_COLUMNS)


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
        pq.ParquetWriter(temporary, schema, **parquet_options(schema)) as writer,
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
