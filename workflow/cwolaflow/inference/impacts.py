"""What each part of the statistical model does to the expected limit."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.inference.limits import expected_limit

FREE_BACKGROUND = "background_normalisation"
SIMULATION = "simulation"
"""Name under which the simulation error of all bins is switched off."""

Workspace = dict[str, Any]


def uncertainty_names(workspace: Mapping[str, Any]) -> list[str]:
    """Name every uncertainty: parameters of the workspace, and `SIMULATION` for all bins."""
    names: dict[str, None] = {}
    for modifier in _modifiers(workspace):
        if modifier["type"] == "staterror":
            names[SIMULATION] = None
        elif modifier["type"] != "normfactor":
            names[modifier["name"]] = None
    return list(names)


def without(workspace: Mapping[str, Any], names: Collection[str]) -> Workspace:
    """Take uncertainties out of a workspace.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace; stays as it is.
    names : collection of str
        Some of `uncertainty_names`.

    Raises
    ------
    ConfigError
        The workspace has no such uncertainty.
    """
    known = uncertainty_names(workspace)
    for name in names:
        if name not in known:
            raise ConfigError(f"uncertainty {name!r}: the model has {', '.join(known) or 'none'}")
    changed = copy.deepcopy(dict(workspace))
    for sample in _samples(changed):
        sample["modifiers"] = [
            modifier
            for modifier in sample["modifiers"]
            if modifier["name"] not in names
            and not (modifier["type"] == "staterror" and SIMULATION in names)
        ]
    for measurement in changed["measurements"]:
        parameters = measurement["config"]["parameters"]
        parameters[:] = [entry for entry in parameters if entry["name"] not in names]
    return changed


def with_floating_background(workspace: Mapping[str, Any]) -> Workspace:
    """Let the total background float freely.

    All samples without the parameter of interest get one common free factor; their cross-section
    uncertainties stay and constrain their shares.
    """
    changed = copy.deepcopy(dict(workspace))
    poi = changed["measurements"][0]["config"]["poi"]
    for sample in _samples(changed):
        if all(modifier["name"] != poi for modifier in sample["modifiers"]):
            sample["modifiers"].append(
                {"name": FREE_BACKGROUND, "type": "normfactor", "data": None}
            )
    return changed


def bin_count(workspace: Mapping[str, Any]) -> int:
    """Count the bins of a workspace of one channel."""
    return len(workspace["observations"][0]["data"])


def with_bins(workspace: Mapping[str, Any], bins: int) -> Workspace:
    """Merge neighbouring bins into fewer, as equal in number as they can be, low bins first.

    Expected events, shape variations and observation add up, simulation errors in quadrature.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace of one channel; stays as it is.
    bins : int
        At most the present number.

    Raises
    ------
    ConfigError
        There are not so many bins.
    """
    present = bin_count(workspace)
    if not 1 <= bins <= present:
        raise ConfigError(f"cannot merge {present} bins into {bins}")
    first = np.ceil(np.linspace(0, present, bins + 1)).astype(int)[:-1]

    def merged(values):
        return np.add.reduceat(np.asarray(values, float), first).tolist()

    changed = copy.deepcopy(dict(workspace))
    changed["observations"][0]["data"] = merged(workspace["observations"][0]["data"])
    for sample in _samples(changed):
        sample["data"] = merged(sample["data"])
        for modifier in sample["modifiers"]:
            if modifier["type"] == "staterror":
                modifier["data"] = np.sqrt(merged(np.square(modifier["data"]))).tolist()
            elif modifier["type"] == "histosys":
                modifier["data"] = {key: merged(data) for key, data in modifier["data"].items()}
    return changed


def variations(workspace: Mapping[str, Any], common_bins: int) -> Iterator[tuple[str, Workspace]]:
    """Give the changes of a model whose limits an impact table compares.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace of one channel.
    common_bins : int
        Number of bins that all analyses of the table have.

    Yields
    ------
    name : str
        ``all``, ``without_<uncertainty>`` for each, ``without_cross_sections``,
        ``statistics_only``, ``floating_background``, ``half_the_bins``, ``one_bin`` and
        ``common_bins``.
    workspace : dict
    """
    names = uncertainty_names(workspace)
    cross_sections = [name for name in names if name.startswith("xs_")]
    bins = bin_count(workspace)
    yield "all", dict(workspace)
    for name in names:
        yield f"without_{name}", without(workspace, [name])
    if cross_sections:
        yield "without_cross_sections", without(workspace, cross_sections)
    yield "statistics_only", without(workspace, names)
    yield "floating_background", with_floating_background(workspace)
    yield "half_the_bins", with_bins(workspace, -(-bins // 2))
    yield "one_bin", with_bins(workspace, 1)
    yield "common_bins", with_bins(workspace, common_bins)


def impact_rows(
    limits: Collection[Mapping[str, Any]],
    workspaces: Collection[Mapping[str, Any]],
    confidence_level: float,
    limit: Callable[[Mapping[str, Any], float], Any] = expected_limit,
) -> list[dict[str, Any]]:
    """Set the expected limit under every variation of every analysis.

    Parameters
    ----------
    limits : collection of mapping
        What an entry of ``limits.json`` says of each analysis: ``analysis``, ``supervision``,
        ``met_cut_gev``, ``luminosity_fb``, ``seed``.
    workspaces : collection of mapping
        In the same order.
    confidence_level : float
    limit : callable
        From workspace and confidence level to an object with ``median``.

    Returns
    -------
    list of dict
        These keys, and ``variation``, ``bins``, ``median_limit`` and ``ratio_to_all``: the limit
        over that of the unchanged model. Both are NaN where a changed model gives no limit. One
        bin whose background floats freely never does and is left out.

    Raises
    ------
    FitError, StatisticsError
        As `expected_limit`.
    """
    rows = []
    common_bins = min(map(bin_count, workspaces))
    for labels, workspace in zip(limits, workspaces, strict=True):
        nominal = None
        for name, changed in variations(workspace, common_bins):
            bins = bin_count(changed)
            if name == "floating_background" and bins == 1:
                continue
            try:
                median = limit(changed, confidence_level).median
            except StatisticsError:
                if name == "all":
                    raise
                median = np.nan
            nominal = median if nominal is None else nominal
            rows.append(
                _labels(labels)
                | {
                    "variation": name,
                    "bins": bins,
                    "median_limit": median,
                    "ratio_to_all": median / nominal,
                }
            )
    return rows


def labelled(
    limits: Collection[Mapping[str, Any]], tables: Collection[pd.DataFrame]
) -> pd.DataFrame:
    """Stack tables of several analyses, with `LABELS` of each as leading columns."""
    parts = [
        pd.DataFrame([_labels(limit)] * len(table), dtype=object).join(table)
        for limit, table in zip(limits, tables, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


LABELS = ("analysis", "supervision", "met_cut_gev", "luminosity_fb", "seed")
"""Keys of an entry of ``limits.json`` that tell analyses apart."""


def _labels(limit):
    return {key: limit[key] for key in LABELS}


def _samples(workspace):
    return [sample for channel in workspace["channels"] for sample in channel["samples"]]


def _modifiers(workspace):
    return [modifier for sample in _samples(workspace) for modifier in sample["modifiers"]]
