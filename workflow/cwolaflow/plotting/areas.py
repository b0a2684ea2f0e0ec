"""Areas under the ROC curve against the luminosity of the mixtures, and their controls."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cwolaflow.errors import InputError
from cwolaflow.plotting.labels import analysis_label, network_label, supervision_label
from cwolaflow.plotting.style import COLOURS, NAME, energy_label, new_figure, stamp, styled
from cwolaflow.tables import MEAN_SEED, STD_SEED

NETWORK = ["classifier", "decay_products", "augmentation"]
LINES = {"with": "-", "without": "--", "": "-"}
SUPERVISED_LINES = {"with": ":", "without": "-.", "": ":"}
SHIFT = 1.025
"""Factor on the luminosity of a point for each one that it would hide."""
MANY_LUMINOSITIES = 3


def spread_over_seeds(metrics: pd.DataFrame, number: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds of one number.

    Parameters
    ----------
    metrics : DataFrame
        Rows of ``metrics.csv`` of one network and supervision.
    number : str
        A column.

    Returns
    -------
    DataFrame
        ``luminosity_fb``, ascending, ``mean`` and ``std``; the latter is 0 for a single seed.
        Luminosities without the number are left out.
    """
    rows = []
    for luminosity, point in metrics.groupby("luminosity_fb"):
        values = point.set_index("seed")[number]
        single = MEAN_SEED not in values
        mean, std = (values.iloc[0], 0.0) if single else (values[MEAN_SEED], values[STD_SEED])
        rows.append((luminosity, mean, std))
    table = pd.DataFrame(rows, columns=["luminosity_fb", "mean", "std"])
    return table.dropna(subset="mean").fillna({"std": 0.0})


@styled
def auc_against_luminosity(metrics: pd.DataFrame, supervision: str, *, sqrt_s_tev: float) -> Figure:
    """Draw AUC of signal against background, one panel a network, one line a variant of it.

    A line is the mean over seeds, its band the standard deviation to both sides; a variant at one
    luminosity is a point with a bar, left of the others. Squares with bars are published, right of
    ours. Dotted: supervised training, where there is one.

    Parameters
    ----------
    metrics : pandas.DataFrame
        ``metrics.csv``, from `tables.read_metrics`.
    supervision : str
        The kind of training to draw.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    InputError
        There is no training of this kind.
    """
    drawn = metrics[metrics["supervision"] == supervision]
    if drawn.empty:
        raise InputError(f"metrics.csv: no training {supervision!r}; make the table anew")
    classifiers = list(drawn["classifier"].unique())
    augmentations = sorted(metrics["augmentation"].unique(), key=_augmentation_rank)
    colours = dict(zip(augmentations, COLOURS * len(augmentations), strict=False))
    variants = [key for key, _ in _variants(drawn)]
    figure = new_figure(height=1.4 + 3.6 * len(classifiers) + 0.1 * len(variants))
    panels = figure.subplots(len(classifiers), 1, sharex=True, squeeze=False)[:, 0]
    supervised = metrics[metrics["supervision"] == "supervised"]
    for panel, classifier in zip(panels, classifiers, strict=True):
        of_classifier = drawn[drawn["classifier"] == classifier]
        for (decay_products, augmentation), rows in _variants(of_classifier):
            style = _line_style(decay_products, colours[augmentation])
            place = 1 + variants.index((decay_products, augmentation))
            _draw_line(panel, spread_over_seeds(rows, "auc"), SHIFT**-place, **style)
            _draw_published(panel, rows, SHIFT**place, decay_products, colours[augmentation])
        _draw_supervised(panel, supervised[supervised["classifier"] == classifier])
        panel.set_ylabel("AUC")
        panel.annotate(
            f"{analysis_label(classifier)}, {supervision_label(supervision)}",
            (0.03, 0.95),
            xycoords="axes fraction",
            va="top",
        )
        low, high = panel.get_ylim()
        panel.set_ylim(low, high + 0.12 * (high - low))
    _luminosity_axis(panels[-1], drawn["luminosity_fb"])
    figure.legend(
        handles=_legend(variants, colours, drawn, supervised),
        loc="outside lower center",
        ncols=3,
        title="Decay products, copies" if drawn["decay_products"].any() else None,
    )
    stamp(panels[0], sqrt_s_tev)
    return figure


@styled
def controls(metrics: pd.DataFrame, *, sqrt_s_tev: float) -> Figure:
    """Draw what CWoLa networks reach without signal, and what they know of the regions.

    One row a network. Left: AUC of signal against background, trained as it is and without signal.
    Right: AUC of the signal region against the sideband, and what it would be if the score did
    not know the region of an event given its class. Bars are standard deviations over seeds.

    Parameters
    ----------
    metrics : pandas.DataFrame
        ``metrics.csv``, from `tables.read_metrics`. Networks that have a control without signal
        are drawn, all if none has.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    InputError
        There is no training ``cwola``.
    """
    drawn = metrics[metrics["supervision"] == "cwola"]
    if drawn.empty:
        raise InputError("metrics.csv: no training 'cwola'; make the table anew")
    has_control = drawn["auc_no_signal"].notna().groupby([drawn[name] for name in NETWORK])
    if has_control.any().any():
        drawn = drawn[has_control.transform("any")]
    networks = list(drawn.groupby(NETWORK, sort=False))
    figure = new_figure(height=1.7 + 2.5 * len(networks))
    panels = figure.subplots(len(networks), 2, sharex=True, squeeze=False)
    pairs = (("auc", "auc_no_signal"), ("auc_mixed", "auc_mixed_implied"))
    for row, (network, rows) in zip(panels, networks, strict=True):
        for panel, numbers in zip(row, pairs, strict=True):
            for number, colour, line in zip(numbers, COLOURS, ("-", "--"), strict=False):
                shift = 1.0 if number == numbers[0] else SHIFT
                points = spread_over_seeds(rows, number)
                _draw_points(panel, points, shift, color=colour, linestyle=line)
            panel.axhline(0.5, color="#777777", linestyle=":", linewidth=1.2)
            panel.margins(y=0.12)
        row[0].set_ylabel("AUC (S against B)", fontsize=14)
        row[1].set_ylabel("AUC (SR against SB)", fontsize=14)
        row[0].set_title(network_label(*network), loc="left", fontsize=13)
    for panel in panels[-1]:
        _luminosity_axis(panel, drawn["luminosity_fb"])
        if drawn["luminosity_fb"].nunique() > MANY_LUMINOSITIES:
            panel.tick_params(axis="x", labelrotation=45)
    handles = [
        Line2D([], [], color=colour, linestyle=line, marker="o", label=label)
        for colour, line, label in (
            (COLOURS[0], "-", "trained on the mixtures"),
            (COLOURS[1], "--", "left: no signal; right: implied by S and B"),
        )
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=1)
    figure.suptitle(f"{NAME}   {energy_label(sqrt_s_tev)}", x=0.02, ha="left", fontsize=15)
    return figure


def _variants(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    groups = dict(iter(rows.groupby(["decay_products", "augmentation"])))
    for key in sorted(groups, key=lambda key: (key[0], _augmentation_rank(key[1]))):
        yield key, groups[key]


def _augmentation_rank(label: str) -> tuple[bool, int, str]:
    return label != "none", len(label), label


def _line_style(decay_products: str, colour: str) -> dict[str, Any]:
    style = {"color": colour, "linestyle": LINES[decay_products], "marker": "o", "markersize": 4}
    return style | ({"markerfacecolor": "white"} if decay_products == "without" else {})


def _draw_line(axes: Axes, points: pd.DataFrame, shift: float, **style: Any) -> None:
    x, mean, std = (points[name].to_numpy() for name in points)
    if len(x) == 1:
        axes.errorbar(x * shift, mean, yerr=std, capsize=3, **style)
        return
    axes.plot(x, mean, **style)
    axes.fill_between(x, mean - std, mean + std, color=style["color"], alpha=0.15, linewidth=0)


def _draw_points(axes: Axes, points: pd.DataFrame, shift: float, **style: str) -> None:
    x, mean, std = (points[name].to_numpy() for name in points)
    axes.errorbar(x * shift, mean, yerr=std, marker="o", markersize=5, capsize=3, **style)


def _draw_published(
    axes: Axes, rows: pd.DataFrame, shift: float, decay_products: str, colour: str
) -> None:
    published = rows.drop_duplicates("luminosity_fb").dropna(subset="published_auc")
    axes.errorbar(
        published["luminosity_fb"] * shift,
        published["published_auc"],
        yerr=published["published_auc_std"],
        fmt="s",
        markersize=5,
        markerfacecolor="white" if decay_products == "without" else colour,
        markeredgecolor=colour,
        ecolor=colour,
        elinewidth=1,
    )


def _draw_supervised(axes: Axes, rows: pd.DataFrame) -> None:
    for (decay_products, augmentation), variant in _variants(rows):
        if augmentation == "none":
            auc = variant.loc[~variant["seed"].isin([MEAN_SEED, STD_SEED]), "auc"].mean()
            line = SUPERVISED_LINES[decay_products]
            axes.axhline(auc, color="black", linestyle=line, linewidth=1.3)


def _luminosity_axis(axes: Axes, luminosities: pd.Series) -> None:
    values = np.unique(luminosities)
    axes.set_xscale("log")
    axes.set_xlim(values[0] / 1.25, values[-1] * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(r"Luminosity [fb$^\mathrm{-1}$]")


def _legend(
    variants: list[tuple[str, str]],
    colours: dict[str, str],
    drawn: pd.DataFrame,
    supervised: pd.DataFrame,
) -> list[Line2D]:
    handles = []
    for decay_products, augmentation in variants:
        name = _short(decay_products, augmentation) or "mean and spread over seeds"
        style = _line_style(decay_products, colours[augmentation])
        handles.append(Line2D([], [], label=name, **style))
    shown = supervised[supervised["classifier"].isin(drawn["classifier"])]
    for decay_products in shown["decay_products"].unique():
        name = ", ".join(filter(None, ["supervised", decay_products]))
        line = SUPERVISED_LINES[decay_products]
        handles.append(Line2D([], [], color="black", linestyle=line, label=name))
    if drawn["published_auc"].notna().any():
        handles.append(Line2D([], [], color="black", marker="s", linestyle="", label="published"))
    return handles


def _short(decay_products: str, augmentation: str) -> str:
    shown = augmentation if augmentation != "none" else ""
    return ", ".join(filter(None, [decay_products, shown]))
