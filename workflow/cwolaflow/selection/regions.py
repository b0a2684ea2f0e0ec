"""Regions of the event table: flavour categories and conditions of the study."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.expressions import Expression

GLUON = 21
UNMATCHED = 0
UNMATCHED_JETS = ("quark", "gluon", "excluded")
EXCLUDED = "unmatched"
FLAVOUR_CATEGORIES = np.array(["2q0g", "1q1g", "0q2g"], dtype=object)
"""By the number of gluons among the two leading jets."""


def flavour_category(
    jet1_flavour: np.ndarray, jet2_flavour: np.ndarray, unmatched_jets: str = "quark"
) -> np.ndarray:
    """Category of the two leading jets by quarks and gluons.

    Parameters
    ----------
    jet1_flavour, jet2_flavour : np.ndarray of int, shape (n,)
        Delphes' ``Jet.Flavor``. 21 is a gluon, 0 a jet without a parton near it, all else a quark.
    unmatched_jets : str
        What a jet of flavour 0 counts as: ``quark``, as published (arXiv:2511.18726), ``gluon``,
        or ``excluded``.

    Returns
    -------
    np.ndarray of str, shape (n,)
        ``2q0g``, ``1q1g`` or ``0q2g``; ``unmatched`` for an event with a jet that is excluded.

    Raises
    ------
    ConfigError
        ``unmatched_jets`` is none of ``UNMATCHED_JETS``.
    """
    if unmatched_jets not in UNMATCHED_JETS:
        raise ConfigError(
            f"select.unmatched_jets: '{unmatched_jets}' is unknown; "
            f"choose from {', '.join(UNMATCHED_JETS)}"
        )
    flavours = np.stack([jet1_flavour, jet2_flavour])
    gluon, unmatched = flavours == GLUON, flavours == UNMATCHED
    if unmatched_jets == "gluon":
        gluon |= unmatched
    category = FLAVOUR_CATEGORIES[gluon.sum(axis=0)]
    if unmatched_jets == "excluded":
        category[unmatched.any(axis=0)] = EXCLUDED
    return category


def assign_regions(table: pd.DataFrame, regions: Mapping[str, str]) -> np.ndarray:
    """Say in which region each event lies.

    Parameters
    ----------
    table : pd.DataFrame
        Event table, n rows.
    regions : mapping of str to str
        ``select.regions``: a condition on columns of the table per region (``SR``, ``SB``).

    Returns
    -------
    np.ndarray of str, shape (n,)
        Name of the region, or '' for an event in none, as every event is whose
        ``flavour_category`` is ``unmatched``.

    Raises
    ------
    ConfigError
        A condition is no condition, names an unknown column, or two regions overlap.
    """
    assigned = np.full(len(table), "", dtype=object)
    eligible = np.ones(len(table), dtype=bool)
    if "flavour_category" in table:
        eligible = table["flavour_category"].to_numpy() != EXCLUDED
    for name, text in regions.items():
        expression = Expression(text, key=f"select.regions.{name}")
        if not expression.is_condition:
            raise ConfigError(f"select.regions.{name}: '{text}' is no condition; compare it")
        expression.check_columns(table.columns)
        inside = expression.evaluate({c: table[c].to_numpy() for c in expression.columns})
        inside = inside & eligible
        if np.any(taken := inside & (assigned != "")):
            other = assigned[np.argmax(taken)]
            raise ConfigError(
                f"select.regions: {np.count_nonzero(taken)} events lie in {name} ({text}) and in "
                f"{other} ({regions[other]}); make the conditions exclude each other"
            )
        assigned[inside] = name
    return assigned


def in_regions(table: pd.DataFrame, regions: Mapping[str, str] | None) -> pd.DataFrame:
    """Give the event table with other regions; with None it stays as it is."""
    return table if regions is None else table.assign(region=assign_regions(table, regions))


def region_yields(events: pd.DataFrame, regions: Mapping[str, str]) -> pd.DataFrame:
    """Count the events of every sample in each region and flavour category.

    Parameters
    ----------
    events : pd.DataFrame
        Event tables of all samples.
    regions : mapping of str to str
        ``select.regions``.

    Returns
    -------
    pd.DataFrame
        ``sample``, ``process``, ``region`` ('' for none), ``flavour_category``, ``events``
        (simulated) and ``weighted_fb`` (expected per fb⁻¹).

    Raises
    ------
    StatisticsError
        A region has no event of any sample.
    """
    populated = set(events["region"])
    for name, text in regions.items():
        if name not in populated:
            raise StatisticsError(
                f"select.regions.{name}: '{text}' selects none of the {len(events)} events of "
                f"{', '.join(events['sample'].unique())}; loosen it or add simulation"
            )
    keys = ["sample", "process", "region", "flavour_category"]
    grouped = events.groupby(keys, sort=True)["weight_fb"]
    return grouped.agg(events="size", weighted_fb="sum").reset_index()
