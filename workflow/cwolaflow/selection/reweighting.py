"""Reweighting of a process in bins of one variable, and unweighting after it.

Made for gluon fusion at finite top mass (arXiv:2008.05434, appendix A): events of the heavy-top
limit count less the harder the Higgs boson is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cwolaflow.config.yaml import read_yaml
from cwolaflow.errors import ConfigError
from cwolaflow.seeds import derive_seed


@dataclass(frozen=True)
class WeightTable:
    """Weights in bins of one variable.

    Attributes
    ----------
    source : str
        Where the numbers come from.
    variable : str
        Column of the event table.
    edges : ndarray of float64, shape (n + 1,)
        Ascending, in the unit of the column; events outside belong to the edge bins.
    weights : ndarray of float64, shape (n,)
        Not negative.
    """

    source: str
    variable: str
    edges: np.ndarray
    weights: np.ndarray

    def bins(self, values: np.ndarray) -> np.ndarray:
        """Number the bin of each value, int64, shape of ``values``."""
        return np.searchsorted(self.edges[1:-1], values, side="right")


def load_weight_table(path: str | Path) -> WeightTable:
    """Read a YAML file with ``source``, ``variable``, ``edges`` and ``weights``.

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or does not hold just that.
    """
    content = read_yaml(path)
    keys = {"source", "variable", "edges", "weights"}
    if set(content) != keys:
        raise ConfigError(f"{path}: has the keys {sorted(content)}; give just {sorted(keys)}")
    for key in ("source", "variable"):
        if not isinstance(content[key], str) or not content[key].strip():
            raise ConfigError(f"{path}: {key!r} is {content[key]!r}; give text")
    try:
        edges, weights = (np.array(content[key], np.float64) for key in ("edges", "weights"))
    except (TypeError, ValueError):
        raise ConfigError(f"{path}: 'edges' and 'weights' are no lists of numbers") from None
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ConfigError(f"{path}: 'edges' {content['edges']} are not ascending")
    if weights.shape != (len(edges) - 1,):
        raise ConfigError(
            f"{path}: {weights.size} 'weights' for {len(edges) - 1} bins; give one a bin"
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ConfigError(
            f"{path}: 'weights' {content['weights']} must not be negative, nor all be 0"
        )
    return WeightTable(content["source"], content["variable"], edges, weights)


def reweight(events: pd.DataFrame, table: WeightTable) -> np.ndarray:
    """Give each event the weight of its bin.

    Raises
    ------
    ConfigError
        The event table has no such column.
    """
    if table.variable not in events:
        raise ConfigError(
            f"select.reweight: the event table has no column {table.variable!r}; "
            f"choose from {', '.join(events.columns)}"
        )
    return table.weights[table.bins(events[table.variable].to_numpy(np.float64))]


def unweight(events: pd.DataFrame, table: WeightTable, seed: int) -> np.ndarray:
    """Keep of each bin the share w / w_max of its events, drawn at random.

    Parameters
    ----------
    events : DataFrame
        Event table.
    table : WeightTable
    seed : int

    Returns
    -------
    ndarray of float64, shape (n_events,)
        w_max for an event that is kept and 0 for one that is not. A share of n events that is no
        whole number is rounded up or down at random, so that the mean of the result is w.
    """
    factor = np.zeros(len(events))
    if not len(events):
        return factor
    index = table.bins(events[table.variable].to_numpy(np.float64))
    populated = np.unique(index)
    largest = table.weights[populated].max()
    if not largest > 0:
        return factor
    rng = np.random.default_rng(seed)
    for number in populated:
        members = np.flatnonzero(index == number)
        expected = len(members) * table.weights[number] / largest
        kept = min(int(np.floor(expected + rng.random())), len(members))
        factor[rng.choice(members, kept, replace=False)] = largest
    return factor


REWEIGHTINGS = ("binned",)


def apply_reweighting(events: pd.DataFrame, settings: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Change the weights of one sample's event table.

    Parameters
    ----------
    events : DataFrame
        Event table with ``weight_fb`` and ``sample``.
    settings : mapping
        Entry of the study's ``select.reweight``: ``name`` (``binned``), ``table`` (path) and
        ``unweight``.
    seed : int
        Seed of the study.

    Returns
    -------
    DataFrame
        The same events in the same order; those that unweighting drops have weight 0, so that
        images and sets still belong to their rows.

    Raises
    ------
    ConfigError
        The name is unknown or the table does not make sense.
    """
    if settings["name"] not in REWEIGHTINGS:
        raise ConfigError(
            f"select.reweight: name {settings['name']!r} is unknown; "
            f"choose from {', '.join(REWEIGHTINGS)}"
        )
    table = load_weight_table(settings["table"])
    factor = reweight(events, table)
    if settings["unweight"]:
        factor = unweight(events, table, derive_seed(seed, "unweight", events["sample"].iloc[0]))
    return events.assign(weight_fb=events["weight_fb"] * factor)
