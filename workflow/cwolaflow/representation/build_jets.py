"""Images of the two leading jets made from the skim."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq

from cwolaflow.errors import InputError
from cwolaflow.files import atomic_path, parquet_options
from cwolaflow.kinematics import wrap_phi
from cwolaflow.representation.build_images import sparse_batch, sparse_schema
from cwolaflow.representation.build_sets import DECAY_COLUMNS, kept_places
from cwolaflow.representation.constituents import DECAY_PRODUCT, Particles
from cwolaflow.representation.jagged import flatten
from cwolaflow.representation.jets import CHANNELS, N_JETS
from cwolaflow.representation.sets import without_decay_products
from cwolaflow.selection.skimmed import ROW_GROUP_EVENTS, iterate_skim


def _particles(events: Mapping[str, Any], removed: Mapping[str, int]) -> Particles:
    """All towers and tracks of some events, and the decay products to remove."""
    sources = [(prefix, name, kind, None) for kind, (prefix, name) in enumerate(CHANNELS)]
    sources += [(DECAY_COLUMNS[key], "pt", DECAY_PRODUCT, count) for key, count in removed.items()]
    parts = []
    for prefix, name, kind, count in sources:
        row, pt = flatten(events[f"{prefix}_{name}"])
        _, eta = flatten(events[f"{prefix}_eta"])
        _, phi = flatten(events[f"{prefix}_phi"])
        kept = slice(None) if count is None else kept_places(row, pt, count, "pt")
        parts.append([values[kept] for values in (row, pt, eta, phi, np.full(len(row), kind))])
    row, pt, eta, phi, kind = map(np.concatenate, zip(*parts, strict=True))
    order = np.argsort(row, kind="stable")
    columns = {"row": row, "place": np.arange(len(row)), "pt": pt, "kind": kind}
    columns |= {"eta": eta.astype(np.float64), "phi": phi.astype(np.float64)}
    return Particles(
        len(events["event_id"]), **{name: values[order] for name, values in columns.items()}
    )


def _around(particles: Particles, eta: np.ndarray, phi: np.ndarray) -> Particles:
    """Directions from the axis of a jet, shape (n_events,), with Δη towards its end of the beam."""
    outwards = np.where(eta < 0, -1.0, 1.0)[particles.row]
    return replace(
        particles,
        eta=(particles.eta - eta[particles.row]) * outwards,
        phi=wrap_phi(particles.phi - phi[particles.row]),
    )


def _pixel_index(
    delta_eta: np.ndarray, delta_phi: np.ndarray, bins: int, half_width: float
) -> np.ndarray:
    """Number the pixel ``eta_bin * bins + phi_bin``, int64; -1 outside."""
    offsets = np.stack([delta_eta, delta_phi])
    inside = ((offsets >= -half_width) & (offsets < half_width)).all(axis=0)
    places = np.floor((offsets + half_width) / (2 * half_width) * bins)
    eta_bin, phi_bin = np.clip(places, 0, bins - 1).astype(np.int64)
    return np.where(inside, eta_bin * bins + phi_bin, -1)


def build_jet_images(
    skim: str | Path,
    jets_config: dict[str, Any],
    output: str | Path,
    batch_events: int = ROW_GROUP_EVENTS,
) -> None:
    r"""Write sparse images of the two leading jets of every event of a sample.

    A jet is all towers and tracks in a square around its axis, whichever jet they were clustered
    into. Δη counts outwards, that is with the sign of the η of the jet: the detector is the same
    on both sides.

    Parameters
    ----------
    skim : str or Path
        Skim of the sample, its jets by falling pT.
    jets_config : dict
        Of the study: ``bins`` a side over \|Δη\|, \|Δφ\| < ``half_width`` (an odd number puts the
        axis into the middle of a pixel), and optionally ``removed_decay_products``, so many of the
        hardest ``photons`` and ``leptons``, around which towers and tracks are dropped as
        `sets.without_decay_products` does it.
    output : str or Path
        Parquet with ``event_id``, ``pixel`` (list<int32>, sorted) and ``value`` (list<float32>:
        ΣE_T of towers, ΣpT of tracks, GeV), in the order of the skim. A pixel is
        ((jet * 2 + channel) * bins + η bin) * bins + φ bin.
    batch_events : int
        Events in memory at a time, at most; it does not change the images.

    Raises
    ------
    InputError
        The skim is damaged, lacks a column, or an event has fewer than two jets.
    """
    bins, half_width = jets_config["bins"], jets_config["half_width"]
    removed = jets_config.get("removed_decay_products", {})
    prefixes = [*CHANNELS, *((DECAY_COLUMNS[key], "pt") for key in removed)]
    columns = [f"{prefix}_{name}" for prefix, pt in prefixes for name in (pt, "eta", "phi")]
    columns += ["event_id", "jet_eta", "jet_phi"]
    schema = sparse_schema({"bins": bins})
    n_pixels = bins * bins
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, schema, **parquet_options(schema)) as writer,
    ):
        for events in iterate_skim(skim, columns, batch_events):
            if ak.any(ak.num(events["jet_eta"]) < N_JETS):
                raise InputError(
                    f"{skim}: an event has fewer than {N_JETS} jets, of which 'represent.jets' "
                    "makes images; add a cut on jets to 'skim.cuts'"
                )
            particles = _particles(events, removed)
            parts = []
            for jet in range(N_JETS):
                axis = (ak.to_numpy(events[f"jet_{x}"][:, jet]) for x in ("eta", "phi"))
                jet_particles = _around(particles, *(x.astype(np.float64) for x in axis))
                # Around the axis no window of removal meets the seam of φ.
                kept = without_decay_products(jet_particles)
                pixel = _pixel_index(kept.eta, kept.phi, bins, half_width)
                first = (jet * len(CHANNELS) + kept.kind) * n_pixels
                parts.append((kept.row, np.where(pixel < 0, -1, first + pixel), kept.pt))
            rows, pixels, pt = map(np.concatenate, zip(*parts, strict=True))
            total = N_JETS * len(CHANNELS) * n_pixels
            writer.write_batch(sparse_batch(events["event_id"], rows, pixels, pt, total, schema))
