"""Efficiencies of the pre-selection, cut by cut."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from cwolaflow.plotting.distributions import SIGNAL_LINES
from cwolaflow.plotting.labels import process_style
from cwolaflow.plotting.style import new_figure, stamp, styled


@styled
def cutflow_efficiencies(
    cutflow: pd.DataFrame,
    process_of: Mapping[str, str],
    processes: Mapping[str, Mapping[str, str]],
    *,
    sqrt_s_tev: float,
) -> Figure:
    """Draw the share of the expected events that is left after each cut.

    Parameters
    ----------
    cutflow : pandas.DataFrame
        Rows of ``cutflow.csv``; the cuts in their order, the first of each sample is ``all``.
    process_of : mapping
        Process of each sample; the samples of a process are added.
    processes : mapping
        The block ``processes`` of the study.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    ConfigError
        A process is not in the study.
    """
    cuts = list(dict.fromkeys(cutflow["cut"]))
    expected = (
        cutflow.assign(process=cutflow["sample"].map(process_of))
        .groupby(["process", "cut"])["weighted_fb"]
        .sum()
    )
    present = expected.index.unique("process")
    for name in present:
        process_style(processes, name)
    names = [name for name in processes if name in present]

    figure = new_figure(height=1.9 + 0.36 * len(cuts))
    axes = figure.subplots()
    edges = np.arange(len(cuts) + 1) - 0.5
    lowest = 1.0
    for number, name in enumerate(names):
        values = expected[name].reindex(cuts).to_numpy()
        efficiency = values / values[0]
        lowest = min(lowest, efficiency[efficiency > 0].min())
        signal = processes[name]["role"] == "signal"
        axes.stairs(
            efficiency,
            edges,
            orientation="horizontal",
            baseline=None,
            color=processes[name]["colour"],
            linestyle=SIGNAL_LINES[number % len(SIGNAL_LINES)] if signal else "-",
            linewidth=2.2,
            label=processes[name]["label"],
        )
    axes.set_xscale("log")
    axes.set_xlim(10 ** np.floor(np.log10(lowest * 0.9)), 1.15)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(len(cuts) - 0.5, -0.5)
    axes.set_yticks(range(len(cuts)), [cut.replace("_", " ") for cut in cuts])
    axes.tick_params(axis="y", which="both", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("Cumulative efficiency (weighted)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    stamp(axes, sqrt_s_tev)
    return figure
