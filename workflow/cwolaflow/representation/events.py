"""The event table: one flat row an event, with weight, region, fold and features."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cwolaflow.errors import InputError, StatisticsError
from cwolaflow.normalisation import weights_fb
from cwolaflow.representation.features import feature_columns, features
from cwolaflow.selection.folds import assign_folds
from cwolaflow.selection.regions import assign_regions, flavour_category
from cwolaflow.selection.reweighting import apply_reweighting
from cwolaflow.selection.skimmed import iterate_skim
from cwolaflow.selection.variables import VARIABLES, compute

LABELS = {"signal": 1, "background": 0}

_JET_VARIABLES = {
    name: VARIABLES[name]
    for name in (f"jet{n}_{q}" for n in (1, 2) for q in ("pt", "eta", "phi", "flavour"))
}


def skim_columns(select: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns of the skim that the event table of a study's ``select`` block is made from."""
    columns = feature_columns(select.get("features", ()), select.get("decay_products"))
    return ("event_id", "event_weight", *sorted({*columns, "jet_flavour"}))


def build_event_table(
    skim: str | Path,
    cutflow: Mapping[str, Any],
    sample: Mapping[str, Any],
    role: str,
    select: Mapping[str, Any],
    seed: int,
    reweighting: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Make the event table of one sample.

    Parameters
    ----------
    skim : str or Path
        Parquet file of the sample's selected events.
    cutflow : mapping
        Cutflow of the sample; its ``sum_of_weights`` normalises.
    sample : mapping
        Row of the sample table.
    role : str
        ``signal`` or ``background``.
    select : mapping
        The study's ``select`` block: ``folds``, ``regions`` and perhaps ``unmatched_jets``,
        ``features`` and ``decay_products``.
    seed : int
        Seed of the study, for the folds and for unweighting.
    reweighting : mapping, optional
        Entry of ``select.reweight`` for the sample's process.

    Returns
    -------
    pd.DataFrame
        n rows: ``event_id`` int64, ``sample`` and ``process`` str, ``label`` int8 (1 signal),
        ``weight_fb`` float64 (expected events per fb⁻¹), ``region`` str ('' for none), ``fold``
        int8, ``flavour_category`` str, ``jet1_*`` and ``jet2_*`` (pt in GeV, eta, phi in rad,
        flavour int32), and the features: kinematic, radiation and the groups of ``features``
        (float32, numbers of jets int64).

    Raises
    ------
    StatisticsError
        No event of the sample passed the cuts.
    InputError
        The skim is damaged, lacks a column, or a feature is NaN or infinite.
    ConfigError
        The regions do not make sense.
    """
    columns = skim_columns(select)
    parts = [_flat(events, sample, select) for events in iterate_skim(skim, columns)]
    if not any(map(len, parts)):
        raise StatisticsError(
            f"sample {sample['sample']}: none of its {cutflow['events']} events passes "
            f"{_emptying_cut(cutflow)}; add simulation, loosen the cut or drop the sample"
        )
    flat = pd.concat(parts, ignore_index=True)
    weight = flat.pop("event_weight").to_numpy()
    table = pd.DataFrame(
        {
            "event_id": flat.pop("event_id"),
            "sample": sample["sample"],
            "process": sample["process"],
            "label": np.int8(LABELS[role]),
            "weight_fb": weights_fb(weight, cutflow["sum_of_weights"], sample),
            "region": "",
            "fold": np.int8(0),
            "flavour_category": flavour_category(
                flat["jet1_flavour"].to_numpy(),
                flat["jet2_flavour"].to_numpy(),
                select.get("unmatched_jets", "quark"),
            ),
            **flat,
        }
    )
    table["region"] = assign_regions(table, select["regions"])
    table["fold"] = assign_folds(
        table["region"].to_numpy(), sample["sample"], select["folds"], seed
    )
    return apply_reweighting(table, reweighting, seed) if reweighting else table


def _flat(
    events: Mapping[str, Any], sample: Mapping[str, Any], select: Mapping[str, Any]
) -> pd.DataFrame:
    high_level = features(events, select.get("features", ()), select.get("decay_products"))
    values = compute(_JET_VARIABLES, events) | high_level
    for name, column in values.items():
        if not np.all(finite := np.isfinite(column)):
            row = np.argmin(finite)
            raise InputError(
                f"sample {sample['sample']}: {name} is {column[row]} in event_id "
                f"{events['event_id'][row]}; every selected event needs two jets, and the "
                "photons and leptons of 'select.decay_products' if any, with finite values"
            )
    for n in (1, 2):
        values[f"jet{n}_flavour"] = values[f"jet{n}_flavour"].astype(np.int32)
    return pd.DataFrame(
        {"event_id": events["event_id"], "event_weight": events["event_weight"], **values}
    )


def _emptying_cut(cutflow: Mapping[str, Any]) -> str:
    emptied = [row["cut"] for row in cutflow["cuts"] if row["events"] == 0]
    return f"the cut '{emptied[0]}'" if emptied else "the cuts"
