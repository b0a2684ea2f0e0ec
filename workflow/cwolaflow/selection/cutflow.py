"""Cutflows: what each cut leaves of a sample."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cwolaflow.errors import ConfigError

FIRST_ROW = "all"


def count_cutflow(flow: Mapping[str, np.ndarray], weight: np.ndarray) -> dict[str, Any]:
    """Count what is left after each cut.

    Parameters
    ----------
    flow : mapping of str to np.ndarray of bool, shape (n,)
        What ``preselection.Preselection.apply`` gave.
    weight : np.ndarray, shape (n,)
        Event weights.

    Returns
    -------
    dict
        The content of a cutflow file: ``events`` and ``sum_of_weights`` of all events, and
        ``cuts``, a list of {``cut``, ``events``, ``sum_of_weights``}, cumulative, first ``all``.
    """
    weight = weight.astype(np.float64)
    return _cutflow(
        {
            cut: (int(np.count_nonzero(passed)), float(np.sum(weight[passed])))
            for cut, passed in flow.items()
        }
    )


def merge_cutflows(cutflows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add the cutflows of parts of one sample.

    Raises
    ------
    ConfigError
        The parts were made with different cuts.
    """
    names = [[row["cut"] for row in cutflow["cuts"]] for cutflow in cutflows]
    if any(other != names[0] for other in names):
        raise ConfigError("skim.cuts: parts of a sample have different cuts; skim them all again")
    totals = {}
    for i, name in enumerate(names[0]):
        rows = [cutflow["cuts"][i] for cutflow in cutflows]
        totals[name] = (
            sum(row["events"] for row in rows),
            math.fsum(row["sum_of_weights"] for row in rows),
        )
    return _cutflow(totals)


def _cutflow(totals: Mapping[str, tuple[int, float]]) -> dict[str, Any]:
    rows = [{"cut": cut, "events": n, "sum_of_weights": w} for cut, (n, w) in totals.items()]
    return {
        "sum_of_weights": rows[0]["sum_of_weights"],
        "events": rows[0]["events"],
        "cuts": rows,
    }
