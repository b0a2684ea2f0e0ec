"""One analysis: the binned fit of one variable, from events to expected limit."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from cwolaflow.errors import ConfigError, InputError, StatisticsError
from cwolaflow.expressions import Expression
from cwolaflow.inference.binning import Shift, choose_edges, fill_templates
from cwolaflow.inference.impacts import uncertainty_names, without
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
        """The numbers of an entry of ``limits.json``."""
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
    varied: Mapping[str, pd.DataFrame] = MappingProxyType({}),
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
        ``cross_section_uncertainty``, ``max_bin_error``, and perhaps ``switched_off``: names of
        `impacts.uncertainty_names` that the model goes without. The binning and the simulation
        error do not depend on them.
    roles : mapping of str to str
        ``signal`` or ``background`` for every process, in the order of the templates.
    channel : str
        Name of the channel in the workspace.
    seed : int
        For the replicas behind the simulation error.
    varied : mapping of str to DataFrame
        Shape uncertainties by name: the variable of the same events, in the same order, at +1σ
        (column ``up``) and -1σ (``down``), and their ``sample`` and ``event_id``. Cuts, edges and
        yields are those of the nominal events.

    Raises
    ------
    ConfigError
        The events have no such variable, or ``require`` is no condition on their columns.
    InputError
        The varied events are others.
    StatisticsError
        Too few events pass.
    """
    if variable not in events:
        raise ConfigError(
            f"limits.shapes: unknown variable {variable!r}; the event table has "
            f"{', '.join(map(str, events.columns))}"
        )
    passes = _passes(events, binning, channel)
    selected = events[passes]
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

    def filled(values):
        return fill_templates(
            values.to_numpy(),
            selected["weight_fb"].to_numpy(),
            selected["process"].to_numpy(),
            edges,
            luminosity_fb,
            list(roles),
        )

    templates = filled(selected[variable])
    shifts = {}
    for name, variation in varied.items():
        _require_same_events(variation, events, name)
        sides = (filled(variation[side][passes]).counts for side in ("up", "down"))
        shifts[name] = Shift(*sides)
    signals = [process for process, role in roles.items() if role == "signal"]
    uncertainties = (limits["cross_section_uncertainty"], limits["luminosity_uncertainty"])
    workspace = build_workspace(templates, signals, channel, limits["poi"], *uncertainties, shifts)
    names = uncertainty_names(workspace)
    workspace = without(
        workspace, [name for name in limits.get("switched_off", ()) if name in names]
    )
    return Analysis(
        workspace,
        expected_limit(workspace, limits["confidence_level"]),
        simulation_error(templates, signals, *uncertainties, seed),
    )


def analyse_each(
    luminosities_fb: Iterable[float], labels: Mapping[str, Any], **settings: Any
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Make one analysis at several luminosities.

    Parameters
    ----------
    luminosities_fb : iterable of float
        In fb⁻¹.
    labels : mapping
        What tells the analysis from others.
    **settings
        All else that `analyse` takes.

    Yields
    ------
    limit : dict
        The labels, ``luminosity_fb`` and `Analysis.summary`.
    workspace : dict
    """
    for luminosity_fb in luminosities_fb:
        analysis = analyse(luminosity_fb=luminosity_fb, **settings)
        limit = {**labels, "luminosity_fb": float(luminosity_fb), **analysis.summary()}
        yield limit, analysis.workspace


def _passes(events: pd.DataFrame, binning: Mapping[str, Any], channel: str) -> np.ndarray:
    passes = (events["missing_et"] > binning["met_cut_gev"]).to_numpy()
    if "require" not in binning:
        return passes
    condition = Expression(binning["require"], key=f"limits: `require` of {channel}")
    if not condition.is_condition:
        raise ConfigError(
            f"limits: `require` of {channel}: '{binning['require']}' is no condition; compare it"
        )
    condition.check_columns(events.columns)
    return passes & condition.evaluate({c: events[c].to_numpy() for c in condition.columns})


def _require_same_events(variation: pd.DataFrame, events: pd.DataFrame, name: str) -> None:
    keys = ["sample", "event_id"]
    if not np.array_equal(variation[keys].to_numpy(), events[keys].to_numpy()):
        raise InputError(
            f"systematic {name!r}: its {len(variation)} events are not the {len(events)} of the "
            "scores in their order; make both again"
        )
