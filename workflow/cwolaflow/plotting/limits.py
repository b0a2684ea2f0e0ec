"""Expected limits of all analyses, side by side."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cwolaflow.errors import InputError
from cwolaflow.plotting.labels import MISSING_PT, analysis_label, parameter_label
from cwolaflow.plotting.style import NAME, energy_label, luminosity_label, new_figure, styled
from cwolaflow.tables import LIMIT_NUMBERS, MEAN_SEED, PUBLISHED_LIMITS

# Lightness alone tells the two bands apart.
ONE_SIGMA, TWO_SIGMA = "#607641", "#f5bb54"
ROW_KEYS = ["supervision", "analysis", "met_cut_gev"]


@styled
def limit_bands(
    limits: pd.DataFrame,
    precision: pd.DataFrame,
    *,
    sqrt_s_tev: float,
    confidence_level: float = 0.95,
    parameter: str = "br_hinv",
    largest: float | None = None,
) -> Figure:
    """Draw expected upper limits, one panel a luminosity and one row an analysis.

    The cut on the missing transverse momentum is written where an analysis comes with several. A
    row has the median (line), its ±1σ and ±2σ bands, the published median (open circle) with its
    ±1σ and, at the right, the median as a number with its error from the size of the simulation.
    Where an analysis was trained with several seeds, the row is their mean and an error bar on the
    median is the standard deviation over seeds.

    Parameters
    ----------
    limits : pandas.DataFrame
        The table of ``tables.limits_table`` or ``tables.read_limits``.
    precision : pandas.DataFrame
        The table of ``tables.precision_table``: the error that is written beside the median.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.
    confidence_level : float
        Confidence level of the limits.
    parameter : str
        Name of the parameter that is limited.
    largest : float, optional
        Largest value that the parameter can have, 1 for a branching fraction; what lies above is
        hatched.

    Raises
    ------
    InputError
        There are no limits, or an analysis has several seeds but no mean.
    """
    if limits.empty:
        raise InputError("limits: the table has no rows; give the study an analysis")
    luminosities = sorted(limits["luminosity_fb"].unique())
    rows = limits[ROW_KEYS].drop_duplicates().reset_index(drop=True)
    cuts = rows.groupby("analysis")["met_cut_gev"].nunique()
    names = [_row_label(row, cuts[row.analysis] > 1) for row in rows.itertuples()]
    errors = precision.set_index([*ROW_KEYS, "luminosity_fb"])["simulation_error"]

    figure = new_figure(height=2.1 + len(luminosities) * (0.45 + 0.34 * len(rows)))
    figure.suptitle(f"{NAME}   {energy_label(sqrt_s_tev)}", x=0.02, ha="left", fontsize=15)
    panels = figure.subplots(len(luminosities), 1, sharex=True, squeeze=False)[:, 0]
    for panel, luminosity in zip(panels, luminosities, strict=True):
        at_luminosity = limits[limits["luminosity_fb"] == luminosity]
        for place, (_, row) in enumerate(rows.iterrows()):
            chosen = (at_luminosity[ROW_KEYS] == row).all(axis=1)
            if chosen.any():
                _draw_row(panel, place, at_luminosity[chosen], errors[(*row, luminosity)])
        panel.set_yticks(range(len(rows)), names)
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.tick_params(axis="y", which="both", length=0)
        panel.set_title(luminosity_label(luminosity), loc="right")
    _scale_limits(panels[-1], limits)
    for panel in panels:
        if largest is not None:
            _mark_unphysical(panel, largest)
        panel.grid(axis="x", which="major")
        panel.set_axisbelow(True)
    panels[-1].set_xlabel(
        f"{100 * confidence_level:g}% CL expected upper limit on {parameter_label(parameter)}"
    )
    figure.legend(handles=_legend(limits, largest), loc="outside lower center", ncols=3)
    return figure


def _row_label(row: tuple, several_cuts: bool) -> str:
    name = analysis_label(row.analysis, row.supervision)
    if several_cuts:
        name += f", ${MISSING_PT} >$ {row.met_cut_gev:g} GeV"
    return name


def _representative(rows: pd.DataFrame) -> pd.Series:
    mean = rows[rows["seed"] == MEAN_SEED]
    if len(mean) == 1:
        return mean.iloc[0]
    if len(rows) == 1:
        return rows.iloc[0]
    where = rows[ROW_KEYS].iloc[0].to_dict()
    raise InputError(f"limits of {where}: {len(rows)} rows and no mean; make the table anew")


def _draw_row(axes: Axes, place: int, rows: pd.DataFrame, relative_error: float) -> None:
    row = _representative(rows)
    for lower, upper, colour in (
        ("minus_2sigma", "plus_2sigma", TWO_SIGMA),
        ("minus_1sigma", "plus_1sigma", ONE_SIGMA),
    ):
        axes.barh(place, row[upper] - row[lower], left=row[lower], height=0.62, color=colour)
    axes.vlines(row["median"], place - 0.31, place + 0.31, color="black", linewidth=2.6)
    if row["seed"] == MEAN_SEED:
        spread = rows.loc[rows["seed"] != MEAN_SEED, "median"].std(ddof=1)
        axes.errorbar(
            row["median"],
            place,
            xerr=spread,
            color="black",
            elinewidth=1.6,
            capsize=5,
            capthick=1.6,
        )
    if not np.isnan(row["published_median"]):
        band = [
            [row["published_median"] - row["published_minus_1sigma"]],
            [row["published_plus_1sigma"] - row["published_median"]],
        ]
        axes.errorbar(
            row["published_median"],
            place,
            xerr=None if np.isnan(band).any() else band,
            ecolor="black",
            elinewidth=0.9,
            fmt="o",
            markersize=8,
            markerfacecolor="white",
            markeredgecolor="black",
            markeredgewidth=1.5,
            zorder=4,
        )
    axes.annotate(
        f"{row['median']:#.3g} ± {row['median'] * relative_error:.1g}",
        (1.015, place),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=13,
    )


def _scale_limits(axes: Axes, limits: pd.DataFrame) -> None:
    numbers = limits[[*LIMIT_NUMBERS, *PUBLISHED_LIMITS]].to_numpy(float)
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    if high <= 10 * low:
        axes.set_xlim(0, 1.08 * high)
        return
    axes.set_xscale("log")
    axes.set_xlim(low / 1.2, high * 1.2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _mark_unphysical(axes: Axes, largest: float) -> None:
    low, high = axes.get_xlim()
    if high > largest:
        axes.axvspan(
            max(largest, low), high, facecolor="none", edgecolor="#999999", hatch="..", zorder=0
        )
        axes.set_xlim(low, high)


def _legend(limits: pd.DataFrame, largest: float | None) -> list:
    handles = [
        Line2D([], [], color="black", linewidth=2.6, label="median"),
        Patch(color=ONE_SIGMA, label=r"±1$\sigma$"),
        Patch(color=TWO_SIGMA, label=r"±2$\sigma$"),
    ]
    if limits["published_median"].notna().any():
        circle = {"marker": "o", "markersize": 8, "markerfacecolor": "white"}
        handles.append(
            Line2D([], [], linestyle="", markeredgecolor="black", label="published", **circle)
        )
    if (limits["seed"] == MEAN_SEED).any():
        handles.append(
            Line2D([], [], color="black", marker="|", markersize=9, label="spread over seeds")
        )
    if largest is not None and limits["plus_2sigma"].max() > largest:
        label = f"above {largest:g}: unphysical"
        handles.append(Patch(facecolor="none", edgecolor="#999999", hatch="...", label=label))
    return handles
