"""One analysis: the binned fit of one variable, from events to expected limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.expressions import Expression
from cwolaflow.inference.binning import choose_edges, fill_templates
from cwolaflow.inference.limits import ExpectedLimit, expected_limit
from cwolaflow.inference.precision import simulation_error
from cwolaflow.inference.workspace import build_workspace


@dataclass(frozen=True)
class Analysis:
    """Outcome of one analysis.

    Attributes
    ----------
    workspace : dict
        pyhf workspace.
    limit : ExpectedLimit
    simulation_error : float
        Relative error of the median limit from the size of the simulation.
    """

    workspace: dict[str, Any]
    limit: ExpectedLimit
    simulation_error: float

    def summary(self) -> dict[str, float]:
        """The numbers of a ``limit.json``."""
        return {**self.limit.to_dict(), "simulation_error": self.simulation_error}


def analyse(
    events: pd.DataFrame,
    variable: str,
    binning: Mapping[str, Any],
    luminosity_fb: float,
    limits: Mapping[str, Any],
    roles: Mapping[str, str],
    channel: str,
    seed: int,
) -> Analysis:
    """Bin a variable of the events that pass the fit's conditions and set the expected limit.

    Parameters
    ----------
    events : DataFrame
        Event or score tables of all samples: ``process``, ``label``, ``weight_fb`` (expected
        events per fb⁻¹), ``missing_et`` (GeV) and ``variable``.
    variable : str
        Column to fit.
    binning : mapping
        ``bins`` before merging, ``met_cut_gev``; optionally ``require``, a further condition on
        columns of ``events``, and ``range``; without a range, quantiles of the simulation are the
        starting bins.
    luminosity_fb : float
        Luminosity in fb⁻¹.
    limits : mapping
        The study's ``limits`` block: ``poi``, ``confidence_level``, ``luminosity_uncertainty``,
        ``cross_section_uncertainty``, ``max_bin_error``.
    roles : mapping of str to str
        ``signal`` or ``background`` for every process, in the order of the templates.
    channel : str
        Name of the channel in the workspace.
    seed : int
        For the replicas behind the simulation error.

    Raises
    ------
    ConfigError
        The events have no such variable, or ``require`` is no condition on their columns.
    StatisticsError
        Too few events pass.
    """
    if variable not in events:
        raise ConfigError(
            f"limits.shapes: unknown variable {variable!r}; the event table has "
            f"{', '.join(map(str, events.columns))}"
        )
    selected = _selected(events, binning, channel)
    present = set(selected["process"])
    for process in roles:
        if process not in present:
            condition = f" and fulfils {binning['require']!r}" if "require" in binning else ""
            raise StatisticsError(
                f"{channel}: no event of {process!r} has missing_et > {binning['met_cut_gev']:g} "
                f"GeV{condition}; lower met_cut_gev or simulate more"
            )
    edges = choose_edges(
        selected[variable].to_numpy(),
        selected["weight_fb"].to_numpy(),
        selected["label"].to_numpy() == 0,
        binning.get("range"),
        binning["bins"],
        limits["max_bin_error"],
    )
    templates = fill_templates(
        selected[variable].to_numpy(),
        selected["weight_fb"].to_numpy(),
        selected["process"].to_numpy(),
        edges,
        luminosity_fb,
        list(roles),
    )
    signals = [process for process, role in roles.items() if role == "signal"]
    uncertainties = (limits["cross_section_uncertainty"], limits["luminosity_uncertainty"])
    workspace = build_workspace(templates, signals, channel, limits["poi"], *uncertainties)
    return Analysis(
        workspace,
        expected_limit(workspace, limits["confidence_level"]),
        simulation_error(templates, signals, *uncertainties, seed),
    )


def _selected(events: pd.DataFrame, binning: Mapping[str, Any], channel: str) -> pd.DataFrame:
    selected = events[events["missing_et"] > binning["met_cut_gev"]]
    if "require" not in binning:
        return selected
    condition = Expression(binning["require"], key=f"limits: `require` of {channel}")
    if not condition.is_condition:
        raise ConfigError(
            f"limits: `require` of {channel}: '{binning['require']}' is no condition; compare it"
        )
    condition.check_columns(events.columns)
    return selected[condition.evaluate({c: selected[c].to_numpy() for c in condition.columns})]
