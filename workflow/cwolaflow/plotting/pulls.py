"""Pulls and uncertainties of the nuisance parameters after the fit."""

import re
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cwolaflow.errors import InputError
from cwolaflow.plotting.labels import analysis_label
from cwolaflow.plotting.style import COLOURS, new_figure, stamp, styled

MARKERS = ("o", "s", "^", "D", "v", "P")
BAND = "#dddddd"
KEYS = ["analysis", "supervision", "met_cut_gev", "seed"]


@styled
def pull_plot(pulls: pd.DataFrame, *, luminosity_fb: float, sqrt_s_tev: float) -> Figure:
    """Draw one row a nuisance parameter and one marker an analysis.

    A marker is the pull of the best fit to background-only Asimov data, its bar the uncertainty
    after the fit; the open marker is the pull with the parameter of interest at its expected
    limit. All are in units of the uncertainty before the fit, which is the grey band.

    Parameters
    ----------
    pulls : pandas.DataFrame
        The columns of `inference.pulls.asimov_pulls` and those that tell analyses apart.
    luminosity_fb : float
        Luminosity in fb⁻¹ to draw.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    InputError
        There are no pulls at this luminosity.
    """
    chosen = pulls[np.isclose(pulls["luminosity_fb"], luminosity_fb)]
    if chosen.empty:
        raise InputError(f"pulls: none at {luminosity_fb:g}/fb; make the table anew")
    chosen = chosen.assign(row=[_row_name(name) for name in chosen["parameter"]])
    rows = sorted(chosen["row"].unique(), key=_row_order)
    groups = list(chosen.groupby(KEYS, sort=False, dropna=False))
    several_cuts = chosen.groupby("analysis")["met_cut_gev"].nunique().max() > 1
    figure = new_figure(height=2.2 + 0.3 * len(rows) + 0.25 * len(groups))
    axes = figure.subplots()
    axes.axvspan(-1, 1, color=BAND, zorder=0)
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    handles = []
    styles = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    offsets = np.linspace(-0.3, 0.3, len(groups)) if len(groups) > 1 else [0.0]
    for ((analysis, supervision, cut, _), group), (colour, marker), offset in zip(
        groups, styles, offsets, strict=False
    ):
        place = np.array([rows.index(row) for row in group["row"]]) + offset
        axes.errorbar(
            group["pull"], place, xerr=group["uncertainty"], linestyle="", marker=marker,
            markersize=5, color=colour, elinewidth=1.5, capsize=0,
        )  # fmt: skip
        axes.plot(
            group["pull_at_tested"], place, linestyle="", marker=marker, markersize=5,
            markerfacecolor="white", markeredgecolor=colour, zorder=4,
        )  # fmt: skip
        label = analysis_label(analysis, supervision)
        label += f", $p_\\mathrm{{T}}^\\mathrm{{miss}} >$ {cut:g} GeV" if several_cuts else ""
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=label))
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", which="both", length=0)
    widest = np.abs(chosen[["pull", "pull_at_tested"]]).to_numpy().max() + 1
    axes.set_xlim(-1.15 * max(widest, 1.5), 1.15 * max(widest, 1.5))
    axes.set_xlabel("(value − nominal) / uncertainty before the fit")
    stamp(axes, sqrt_s_tev, luminosity_fb)
    hollow = {"marker": "o", "markersize": 5, "markerfacecolor": "white", "color": "black"}
    handles.append(Line2D([], [], linestyle="", label="signal at its limit", **hollow))
    handles.append(Patch(color=BAND, label="before the fit"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _row_name(parameter: str) -> str:
    """Bins of different channels share their rows."""
    found = re.fullmatch(r"staterror_(signal_)?.*\[(\d+)\]", parameter)
    if found:
        return f"simulation, {'signal' if found[1] else 'background'}, bin {int(found[2]) + 1}"
    return parameter.replace("xs_", "cross section ").replace("_", " ")


def _row_order(name: str) -> tuple:
    simulation = name.startswith("simulation")
    number = int(name.rsplit(" ", 1)[1]) if simulation else 0
    return simulation, "signal" in name and simulation, number, name
