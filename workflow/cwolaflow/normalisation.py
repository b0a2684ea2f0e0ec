"""From event weights to expected numbers of events: σ · k · BR · ε · L."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cwolaflow.errors import InputError
from cwolaflow.production.provenance import combine_provenance

if TYPE_CHECKING:
    import pandas as pd

FB_PER_PB = 1000.0


def events_per_fb(sample: Mapping[str, Any]) -> float:
    """Expected number of generated events of a sample per fb⁻¹.

    Parameters
    ----------
    sample : mapping
        Row of the sample table: ``cross_section_pb`` σ (pb), ``k_factor`` k,
        ``branching_fraction`` BR, ``filter_efficiency`` ε.

    Returns
    -------
    float
        σ · 1000 · k · BR · ε, in fb.
    """
    factors = ("cross_section_pb", "k_factor", "branching_fraction", "filter_efficiency")
    return FB_PER_PB * float(np.prod([float(sample[factor]) for factor in factors]))


def weights_fb(
    event_weight: np.ndarray, sum_of_weights: float, sample: Mapping[str, Any]
) -> np.ndarray:
    """Expected number of events per fb⁻¹ that each simulated event stands for.

    Parameters
    ----------
    event_weight : np.ndarray, shape (n,)
        The generator's weights w_i of selected events; they may be negative.
    sum_of_weights : float
        Σw of all generated events of the sample, selected or not.
    sample : mapping
        Row of the sample table.

    Returns
    -------
    np.ndarray of float64, shape (n,)
        w_i / Σw · σ · 1000 · k · BR · ε; times L in fb⁻¹, the expected number at L.

    Raises
    ------
    InputError
        Σw is not positive.
    """
    if not sum_of_weights > 0:
        raise InputError(
            f"sample {sample['sample']}: its event weights sum to {sum_of_weights:g}, which cannot "
            "be normalised; check Event.Weight of its files"
        )
    return np.asarray(event_weight, dtype=np.float64) / sum_of_weights * events_per_fb(sample)


def with_generated_cross_section(
    sample: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Complete the row of a produced sample by what its generator knows.

    Parameters
    ----------
    sample : mapping
        Row of the sample table. Its ``cross_section_pb`` is that of all events that the filter
        looked at, or None.
    parts : sequence of mapping
        Provenance of each part.

    Returns
    -------
    dict
        A row with a cross section keeps it and gets as ``filter_efficiency`` the share of
        events, all of equal weight, that the filter accepted. A row without gets the cross
        section of the generator in pb, filter included.
    """
    generated = combine_provenance(parts)
    if sample["cross_section_pb"] is None:
        return {**sample, "cross_section_pb": generated["cross_section_pb"]}
    return {**sample, "filter_efficiency": generated["filter_efficiency"]}


def cutflow_table(sample: Mapping[str, Any], cutflow: Mapping[str, Any]) -> pd.DataFrame:
    """Cutflow of one sample in expected events.

    Parameters
    ----------
    sample : mapping
        Row of the sample table.
    cutflow : mapping
        What ``skim_files`` or ``merge_skims`` returned.

    Returns
    -------
    pd.DataFrame
        Columns ``sample``, ``cut``, ``events`` (simulated, left after this cut and all before),
        ``weighted_fb`` (the same, expected per fb⁻¹) and ``efficiency`` (``weighted_fb`` over that
        of the row before; 1 in the first row, ``all``; NaN after nothing is left).
    """
    import pandas as pd

    rows = cutflow["cuts"]
    weighted = weights_fb(
        np.array([row["sum_of_weights"] for row in rows]), cutflow["sum_of_weights"], sample
    )
    before = np.concatenate([weighted[:1], weighted[:-1]])
    efficiency = np.divide(weighted, before, out=np.full(len(rows), np.nan), where=before != 0)
    return pd.DataFrame(
        {
            "sample": sample["sample"],
            "cut": [row["cut"] for row in rows],
            "events": [row["events"] for row in rows],
            "weighted_fb": weighted,
            "efficiency": efficiency,
        }
    )
