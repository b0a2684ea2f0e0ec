"""Distributions of features and scores: backgrounds stacked, signals drawn over them."""

from collections.abc import Mapping, Sequence

import mplhep
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from cwolaflow.errors import ConfigError
from cwolaflow.plotting.labels import (
    Variable,
    analysis_label,
    process_style,
    score_variable,
    supervision_label,
    variant_label,
)
from cwolaflow.plotting.style import PAGE_WIDTH, WIDTH, new_figure, stamp, styled

PANEL_HEIGHT = 6.2  # inches
HEIGHTS, GAP = [3.2, 1], 0.03
"""Of the two parts of a panel, and between them."""
SIGNAL_LINES = ("-", "--", "-.", ":")


@styled
def stacked_distribution(
    events: pd.DataFrame,
    variable: Variable,
    processes: Mapping[str, Mapping[str, str]],
    *,
    luminosity_fb: float,
    sqrt_s_tev: float,
    note: str = "",
) -> Figure:
    """Draw expected events by process, and signal over background below.

    The edge bins hold what lies outside the axis too, so that the bins add up to all expected
    events. The hatched band and the bars are the statistical uncertainty of the simulation,
    √Σw²; in the lower panel that of signal and background together.

    Parameters
    ----------
    events : pandas.DataFrame
        One row an event: ``process``, ``weight_fb`` (expected events per fb⁻¹) and the column of
        ``variable`` in its unit.
    variable : Variable
        What to draw; see ``VARIABLES`` and ``score_variable``.
    processes : mapping
        The block ``processes`` of the study: ``role``, ``label`` and ``colour`` by process, in
        stacking order.
    luminosity_fb : float
        Integrated luminosity in fb⁻¹ that the events are scaled to.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.
    note : str, optional
        Lines inside the plot, such as the classifier or the selection.

    Raises
    ------
    ConfigError
        The events have a process that the study lacks, or none of one role.
    """
    figure = new_figure(height=PANEL_HEIGHT)
    upper, lower = figure.subplots(2, 1, gridspec_kw={"height_ratios": HEIGHTS, "hspace": GAP})
    _draw_stack(upper, lower, events, variable, processes, luminosity_fb, note)
    stamp(upper, sqrt_s_tev, luminosity_fb)
    figure.align_ylabels()
    return figure


@styled
def score_distributions(
    panels: Sequence[tuple[str, str, int]],
    scores: Sequence[pd.DataFrame],
    names: Mapping[str, Mapping[str, str]],
    processes: Mapping[str, Mapping[str, str]],
    *,
    luminosity_fb: float,
    sqrt_s_tev: float,
) -> Figure:
    """Draw the scores of several trainings as `stacked_distribution` does, a panel each.

    Up to two panels are as wide as a column, more as a page.

    Parameters
    ----------
    panels : sequence of (classifier, supervision, seed)
        What each table is from.
    scores : sequence of pandas.DataFrame
        Score tables: ``process``, ``weight_fb`` (expected events per fb⁻¹) and ``score``.
    names : mapping
        ``classifier``, ``decay_products`` and ``augmentation`` by key of the classifier, see
        `plan.metric_names`.
    processes, luminosity_fb, sqrt_s_tev
        As for `stacked_distribution`.

    Raises
    ------
    ConfigError
        As `stacked_distribution`.
    """
    columns = 1 if len(panels) <= 2 else 2
    rows = -(-len(panels) // columns)
    width = WIDTH if columns == 1 else PAGE_WIDTH
    figure = new_figure(height=PANEL_HEIGHT * rows, width=width)
    # Nested grids would be laid out with rounding that differs from run to run.
    grid = figure.subplots(
        2 * rows,
        columns,
        squeeze=False,
        gridspec_kw={"height_ratios": HEIGHTS * rows, "hspace": GAP},
    )
    pairs = [
        (grid[2 * row, column], grid[2 * row + 1, column])
        for row, column in np.ndindex(rows, columns)
    ]
    for pair in pairs[len(panels) :]:
        for axes in pair:
            axes.remove()
    for (classifier, supervision, seed), table, pair in zip(panels, scores, pairs, strict=False):
        name = names[classifier]
        lines = [
            analysis_label(name["classifier"]),
            variant_label(name["decay_products"], name["augmentation"]),
            f"{supervision_label(supervision)}, seed {seed}",
        ]
        variable = score_variable(table["score"].to_numpy())
        note = "\n".join(filter(None, lines))
        _draw_stack(*pair, table, variable, processes, luminosity_fb, note)
    stamp(grid[0, 0], sqrt_s_tev, luminosity_fb)
    figure.align_ylabels()
    return figure


def _draw_stack(
    upper: Axes,
    lower: Axes,
    events: pd.DataFrame,
    variable: Variable,
    processes: Mapping[str, Mapping[str, str]],
    luminosity_fb: float,
    note: str,
) -> None:
    """Draw the two panels of `stacked_distribution`."""
    yields, variances = _histograms(events, variable, processes, luminosity_fb)
    role = {name: process_style(processes, name)["role"] for name in yields}
    backgrounds = [name for name in yields if role[name] == "background"]
    signals = [name for name in yields if role[name] == "signal"]
    if not backgrounds or not signals:
        raise ConfigError(
            f"processes: signals {signals} and backgrounds {backgrounds} have events; "
            "at least one of each is needed for this plot"
        )
    edges = variable.edges
    background = np.sum([yields[name] for name in backgrounds], axis=0)
    background_error = np.sqrt(np.sum([variances[name] for name in backgrounds], axis=0))

    upper.sharex(lower)
    upper.tick_params(labelbottom=False)
    mplhep.histplot(
        [yields[name] for name in backgrounds],
        edges,
        ax=upper,
        stack=True,
        histtype="fill",
        label=[processes[name]["label"] for name in backgrounds],
        color=[processes[name]["colour"] for name in backgrounds],
        flow="none",
    )
    upper.stairs(
        background + background_error,
        edges,
        baseline=background - background_error,
        fill=True,
        facecolor="none",
        edgecolor="#444444",
        hatch="/////",
        linewidth=0,
        label="sim. stat. unc.",
    )
    for name, line in zip(signals, _cycle(SIGNAL_LINES, len(signals)), strict=True):
        upper.stairs(
            yields[name],
            edges,
            baseline=None,
            color=processes[name]["colour"],
            linestyle=line,
            linewidth=2.4,
            label=processes[name]["label"],
        )
        _signal_errors(upper, edges, yields[name], variances[name], processes[name]["colour"])
    _scale_counts(upper, [background, *(yields[name] for name in signals)])
    upper.set_ylabel(variable.count_label)
    upper.legend(loc="upper right", ncols=2)
    if note:
        upper.annotate(
            note, (0.03, 0.96), xycoords="axes fraction", fontsize=13, va="top", ha="left"
        )

    signal = np.sum([yields[name] for name in signals], axis=0)
    signal_error = np.sqrt(np.sum([variances[name] for name in signals], axis=0))
    _draw_ratio(lower, edges, (signal, signal_error), (background, background_error))
    lower.set_xlabel(variable.axis_label)
    lower.set_xlim(variable.low, variable.high)
    # The labels of a narrow range are long.
    lower.xaxis.set_major_locator(MaxNLocator(5))


def _histograms(
    events: pd.DataFrame,
    variable: Variable,
    processes: Mapping[str, Mapping[str, str]],
    luminosity_fb: float,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    present = events["process"].unique()
    for name in present:
        process_style(processes, name)
    yields, variances = {}, {}
    inside = np.clip(events[variable.column].to_numpy(float), variable.low, variable.high)
    for name in (name for name in processes if name in present):
        chosen = (events["process"] == name).to_numpy()
        weights = events["weight_fb"].to_numpy(float)[chosen] * luminosity_fb
        yields[name], _ = np.histogram(inside[chosen], variable.edges, weights=weights)
        variances[name], _ = np.histogram(inside[chosen], variable.edges, weights=weights**2)
    return yields, variances


def _signal_errors(
    axes: Axes, edges: np.ndarray, counts: np.ndarray, variance: np.ndarray, colour: str
) -> None:
    centres = (edges[1:] + edges[:-1]) / 2
    filled = counts > 0
    axes.errorbar(
        centres[filled],
        counts[filled],
        yerr=np.sqrt(variance[filled]),
        fmt="none",
        ecolor=colour,
        elinewidth=1.2,
    )


def _scale_counts(axes: Axes, counts: list[np.ndarray]) -> None:
    values = np.concatenate(counts)
    values = values[values > 0]
    if not values.size:
        return
    axes.set_yscale("log")
    low = max(values.min() / 2, values.max() * 1e-6)
    # The data fill the lower two thirds: the legend stands above them.
    axes.set_ylim(low, low * (1.4 * values.max() / low) ** 1.5)


def _draw_ratio(
    axes: Axes,
    edges: np.ndarray,
    numerator: tuple[np.ndarray, np.ndarray],
    denominator: tuple[np.ndarray, np.ndarray],
) -> None:
    axes.set_ylabel("S / B", loc="center")
    filled = (numerator[0] > 0) & (denominator[0] > 0)
    if not filled.any():
        return
    (top, top_error), (bottom, bottom_error) = (
        (values[filled], errors[filled]) for values, errors in (numerator, denominator)
    )
    ratio = top / bottom
    error = ratio * np.hypot(top_error / top, bottom_error / bottom)
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    axes.errorbar(
        centres[filled],
        ratio,
        xerr=widths[filled] / 2,
        yerr=error,
        fmt="o",
        color="black",
        markersize=4,
        elinewidth=1.3,
    )
    if ratio.max() > 20 * ratio.min():
        axes.set_yscale("log")
        axes.set_ylim(ratio.min() / 2.5, ratio.max() * 2.5)
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, 1.35 * ratio.max())
    axes.grid(axis="y")


def _cycle(items: tuple[str, ...], count: int) -> list[str]:
    return [items[index % len(items)] for index in range(count)]
