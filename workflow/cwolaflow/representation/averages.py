"""Mean images of the constituents of each process: what networks see, and the detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cwolaflow.errors import InputError
from cwolaflow.files import iterate_batches, open_parquet
from cwolaflow.kinematics import wrap_phi
from cwolaflow.representation.build_sets import DECAY_COLUMNS
from cwolaflow.representation.constituents import DECAY_PRODUCT
from cwolaflow.representation.jagged import flatten
from cwolaflow.representation.rendering import RenderedImages
from cwolaflow.selection.skimmed import iterate_skim

BATCH_EVENTS = 1000
"""Events that are dense in memory at a time."""

Batch = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
"""Event numbers, offsets and columns of the constituents of some events, see `Particles`."""


def _set_batches(path: str | Path, batch_events: int) -> Iterator[Batch]:
    names = ("pt", "eta", "phi", "kind")
    with open_parquet(path) as file:
        missing = {"event_id", *names} - set(file.schema_arrow.names)
        if missing:
            raise InputError(
                f"{path}: has no column {sorted(missing)[0]!r}; delete it and run again"
            )
        for batch in iterate_batches(file, ["event_id", *names], batch_events):
            counts = batch["pt"].value_lengths().to_numpy(zero_copy_only=False)
            columns = {name: batch[name].flatten().to_numpy() for name in names}
            yield batch["event_id"].to_numpy(), np.append(0, np.cumsum(counts)), columns


def _detector_batches(
    path: str | Path, set_config: dict[str, Any], batch_events: int
) -> Iterator[Batch]:
    sources = [("tower", "et", 0), ("track", "pt", 1)]
    decay_products = set_config.get("decay_products", {})
    sources += [(DECAY_COLUMNS[key], "pt", DECAY_PRODUCT) for key in decay_products]
    columns = [f"{prefix}_{name}" for prefix, pt, _ in sources for name in (pt, "eta", "phi")]
    for events in iterate_skim(path, ["event_id", *columns], batch_events):
        parts = []
        for prefix, pt_name, kind in sources:
            rows, pt = flatten(events[f"{prefix}_{pt_name}"])
            _, eta = flatten(events[f"{prefix}_eta"])
            _, phi = flatten(events[f"{prefix}_phi"])
            phi = wrap_phi(phi.astype(np.float64))
            parts.append((rows, pt, eta, phi, np.full(len(rows), kind, np.int8)))
        rows, *values = map(np.concatenate, zip(*parts, strict=True))
        order = np.argsort(rows, kind="stable")
        offsets = np.searchsorted(rows[order], np.arange(len(events["event_id"]) + 1))
        named = zip(("pt", "eta", "phi", "kind"), values, strict=True)
        yield events["event_id"], offsets, {name: value[order] for name, value in named}


def _mean_images(
    samples: Iterable[tuple[str | Path, Iterator[Batch]]],
    tables: Iterable[pd.DataFrame],
    decay_products: str | None,
    image: dict[str, Any],
) -> dict[str, np.ndarray]:
    in_gev = image | {"standardise": "none"}
    sums: dict[str, np.ndarray] = {}
    totals: dict[str, float] = {}
    for (path, batches), table in zip(samples, tables, strict=True):
        process, weights = str(table["process"].iloc[0]), table["weight_fb"].to_numpy()
        known, start = table["event_id"].to_numpy(), 0
        for event_id, offsets, columns in batches:
            chosen = slice(start, start + len(event_id))
            if not np.array_equal(known[chosen], event_id):
                raise InputError(
                    f"{path}: its events are not those of the event table; make both again"
                )
            images = RenderedImages(offsets, columns, decay_products, **in_gev)
            (pixels,) = images.batch(torch.arange(len(event_id)))
            added = np.tensordot(weights[chosen], pixels.numpy().astype(np.float64), axes=1)
            sums[process] = sums.get(process, 0) + added
            start += len(event_id)
        if start != len(known):
            raise InputError(
                f"{path}: has {start} events, the event table {len(known)}; make both again"
            )
        totals[process] = totals.get(process, 0) + weights.sum()
    return {process: sums[process] / totals[process] for process in sums}


def channel_averages(
    sets: Iterable[str | Path],
    tables: Iterable[pd.DataFrame],
    source: dict[str, Any],
    batch_events: int = BATCH_EVENTS,
) -> dict[str, np.ndarray]:
    """Average the images that a network is given, before they are standardised.

    Parameters
    ----------
    sets : iterable of str or Path
        From `build_sets.build_sets`.
    tables : iterable of DataFrame
        Event table of each: ``event_id``, ``process``, ``weight_fb``.
    source : dict
        ``input`` of the classifier: ``image`` and, where the set has them, ``decay_products``.
    batch_events : int
        Events in memory at a time, at most.

    Returns
    -------
    dict of ndarray
        Mean ΣpT (E_T of towers) in GeV by process, float64, shape (channels, eta_bins, phi_bins),
        see `RenderedImages`.

    Raises
    ------
    InputError
        A set is damaged or has other events than its table.
    """
    samples = ((path, _set_batches(path, batch_events)) for path in sets)
    return _mean_images(samples, tables, source.get("decay_products"), source["image"])


def detector_averages(
    skims: Iterable[str | Path],
    tables: Iterable[pd.DataFrame],
    set_config: dict[str, Any],
    image: dict[str, Any],
    batch_events: int = BATCH_EVENTS,
) -> dict[str, np.ndarray]:
    """Average all constituents of each process where the detector has them.

    Nothing is truncated, and no pile-up overlaid.

    Parameters
    ----------
    skims, tables, batch_events
        As of `channel_averages`.
    set_config : dict
        Of the study: which ``decay_products`` there are.
    image : dict
        Pixels, see `RenderedImages`.

    Returns
    -------
    dict of ndarray
        Mean ΣpT (E_T of towers) in GeV by process, float64, shape (kinds, eta_bins, phi_bins);
        kinds as in `constituents.KINDS`, without the last where the set has no decay products.

    Raises
    ------
    InputError
        A skim is damaged or has other events than its table.
    """
    samples = ((path, _detector_batches(path, set_config, batch_events)) for path in skims)
    shown = "with" if "decay_products" in set_config else None
    return _mean_images(samples, tables, shown, image)
