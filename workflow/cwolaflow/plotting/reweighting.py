"""Closure of the reweighting of a process."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cwolaflow.plotting.labels import feature_variable, process_style
from cwolaflow.plotting.style import new_figure, stamp, styled
from cwolaflow.selection.reweighting import WeightTable


@styled
def reweighting_closure(
    before: pd.DataFrame,
    after: pd.DataFrame,
    table: WeightTable,
    processes: Mapping[str, Mapping[str, str]],
    *,
    sqrt_s_tev: float,
) -> Figure:
    """Draw a spectrum before and after, and their ratio with the weights of the table.

    Parameters
    ----------
    before, after : DataFrame
        Event table of one sample: ``process``, ``weight_fb`` and the variable of ``table``.
    table : WeightTable
        Its bins are those of the figure; events outside are in the edge bins.
    processes : mapping
        The block ``processes`` of the study.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    ConfigError
        The variable cannot be drawn or the process is unknown.
    """
    variable = feature_variable(table.variable)
    style = process_style(processes, before["process"].iloc[0])
    edges, widths = table.edges, np.diff(table.edges)
    centres = (edges[1:] + edges[:-1]) / 2
    index = table.bins(before[table.variable].to_numpy(np.float64))
    counts, errors = [], []
    for events in (before, after):
        weights = events["weight_fb"].to_numpy()
        counts.append(np.bincount(index, weights, len(widths)))
        errors.append(np.sqrt(np.bincount(index, weights**2, len(widths))))

    figure = new_figure(height=6.0)
    upper, lower = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1], "hspace": 0.03}
    )
    looks = (("black", "--", "before"), (style["colour"], "-", "after"))
    for (colour, line, label), count, error in zip(looks, counts, errors, strict=True):
        density = count / widths
        upper.stairs(density, edges, baseline=None, color=colour, linestyle=line, label=label)
        upper.errorbar(centres, density, error / widths, fmt="none", ecolor=colour)
    upper.set_yscale("log")
    unit = variable.unit or "bin width"
    upper.set_ylabel(f"Expected events per fb$^{{-1}}$ and {unit}", fontsize=14)
    upper.legend(title=style["label"])
    stamp(upper, sqrt_s_tev)

    filled = counts[0] > 0
    # The events after are among those before: the error is that of the share.
    ratio = counts[1][filled] / counts[0][filled]
    lower.errorbar(
        centres[filled],
        ratio,
        xerr=widths[filled] / 2,
        yerr=errors[1][filled] / counts[0][filled],
        fmt="o",
        color=style["colour"],
        markersize=4,
    )
    lower.stairs(table.weights, edges, baseline=None, color="black", label="weight table")
    lower.set_ylim(0, 1.3 * max(table.weights.max(), ratio.max(initial=0)))
    lower.set_ylabel("after / before", loc="center")
    lower.set_xlabel(variable.axis_label)
    lower.set_xlim(edges[0], edges[-1])
    lower.legend(loc="lower left")
    figure.align_ylabels()
    return figure
