"""ROC curves of the classifiers, trained in several ways."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cwolaflow.errors import InputError
from cwolaflow.learning.evaluate import roc_curve
from cwolaflow.learning.roc import roc_auc
from cwolaflow.plotting.labels import network_label, supervision_label
from cwolaflow.plotting.style import (
    COLOURS,
    PAGE_WIDTH,
    WIDTH,
    luminosity_label,
    new_figure,
    stamp,
    styled,
)

LINES = ("-", "--", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (2, 1)), (0, (8, 2)))


@dataclass(frozen=True)
class RocBand:
    """ROC curves of equal trainings that differ in their seed.

    Attributes
    ----------
    classifier : str
        Key of the classifier.
    supervision : str
        ``supervised``, ``cwola`` or ``transfer``, or a variant of the latter two.
    luminosity_fb : float or None
        Luminosity in fb⁻¹ of the training mixtures; None where the training has none.
    signal_efficiency : numpy.ndarray
        Float, shape (n_seeds, n_points), in [0, 1], at the common background efficiencies.
    auc : numpy.ndarray
        Area under each curve, float, shape (n_seeds,).
    """

    classifier: str
    supervision: str
    luminosity_fb: float | None
    signal_efficiency: np.ndarray
    auc: np.ndarray

    @property
    def area(self) -> str:
        """Mean AUC with its spread over seeds, as text."""
        area = f"AUC {np.mean(self.auc):.3f}"
        return f"{area} ± {np.std(self.auc, ddof=1):.3f}" if len(self.auc) > 1 else area


def roc_bands(
    trainings: Sequence[tuple[str, str, str]], scores: Iterable[pd.DataFrame]
) -> tuple[np.ndarray, list[RocBand]]:
    """Compute the ROC curves of all trainings and group those that differ in their seed.

    Parameters
    ----------
    trainings : sequence of (classifier, supervision, luminosity)
        Of each score table; the luminosity in fb⁻¹ as text, ``all`` where there is none.
    scores : iterable of DataFrame
        Score tables: ``label``, ``score``, ``weight_fb``.

    Returns
    -------
    background_efficiency : numpy.ndarray
        Common grid, float, shape (n_points,).
    bands : list of RocBand
        In the order of the trainings.
    """
    curves: dict[tuple[str, str, str], list[np.ndarray]] = {}
    areas: dict[tuple[str, str, str], list[float]] = {}
    grid = np.empty(0)
    for training, table in zip(trainings, scores, strict=True):
        is_signal = table["label"].to_numpy() == 1
        score, weight = table["score"].to_numpy(), table["weight_fb"].to_numpy()
        grid, signal_efficiency = roc_curve(is_signal, score, weight)
        curves.setdefault(tuple(training), []).append(signal_efficiency)
        areas.setdefault(tuple(training), []).append(roc_auc(is_signal, score, weight))
    bands = []
    for key, members in curves.items():
        classifier, supervision, luminosity = key
        luminosity_fb = None if luminosity == "all" else float(luminosity)
        bands.append(
            RocBand(classifier, supervision, luminosity_fb, np.stack(members), np.array(areas[key]))
        )
    return grid, bands


@styled
def roc_curves(
    background_efficiency: np.ndarray,
    bands: Sequence[RocBand],
    names: Mapping[str, Mapping[str, str]],
    *,
    sqrt_s_tev: float,
) -> Figure:
    """Draw signal efficiency ε_S against background efficiency ε_B.

    Trainings at luminosities, of one kind, have one panel a classifier and one curve a luminosity,
    in colour; training without mixtures is black beside them. Trainings that have no luminosity
    share one panel with one curve a classifier, a colour for each network and a kind of line for
    each of its variants.

    A line is the mean over seeds of the signal efficiency at fixed background efficiency, its
    band the standard deviation over seeds to both sides. The dotted line is a random choice.
    Up to two panels are as wide as a column, more as a page.

    Parameters
    ----------
    background_efficiency : numpy.ndarray
        Common grid of background efficiencies, float, shape (n_points,), in [0, 1].
    bands : sequence of RocBand
        Curves.
    names : mapping
        ``classifier``, ``decay_products`` and ``augmentation`` by key of the classifier, in the
        order of the panels, see `plan.metric_names`.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    InputError
        There are no curves, or one is not on the common grid.
    """
    if not bands:
        raise InputError("ROC curves: there are none; evaluate a training first")
    for band in bands:
        if band.signal_efficiency.shape != (len(band.auc), len(background_efficiency)):
            raise InputError(
                f"ROC of {band.classifier}: shape {band.signal_efficiency.shape} is not "
                f"(seeds, points) = {(len(band.auc), len(background_efficiency))}; "
                "interpolate the curves to the common grid"
            )
    if all(band.luminosity_fb is None for band in bands):
        panels = [(supervision_label(bands[0].supervision), list(_by_classifier(bands, names)))]
    else:
        mixed = supervision_label(
            next(band.supervision for band in bands if band.luminosity_fb is not None)
        )
        panels = [
            (
                f"{network_label(**names[key])}\n{mixed}",
                list(_by_luminosity([band for band in bands if band.classifier == key])),
            )
            for key in names
        ]
    columns = 1 if len(panels) <= 2 else 2
    rows = -(-len(panels) // columns)
    figure = new_figure(
        height=0.9 + (5.6 if len(panels) == 1 else 4.4) * rows,
        width=WIDTH if columns == 1 else PAGE_WIDTH,
    )
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, (title, curves) in zip(grid, panels, strict=False):
        _draw_panel(axes, title, background_efficiency, curves)
    stamp(grid[0], sqrt_s_tev)
    return figure


Curve = tuple[RocBand, str, dict[str, Any]]
"""A band, its text in the legend and the style of its line."""


def _by_classifier(
    bands: Sequence[RocBand], names: Mapping[str, Mapping[str, str]]
) -> Iterator[Curve]:
    networks = [names[band.classifier]["classifier"] for band in bands]
    distinct = list(dict.fromkeys(networks))
    for place, (band, network) in enumerate(zip(bands, networks, strict=True)):
        if len(distinct) <= len(COLOURS):
            colour, line = distinct.index(network), networks[:place].count(network)
        else:
            line, colour = divmod(place, len(COLOURS))
        style = {"color": COLOURS[colour], "linestyle": LINES[line % len(LINES)]}
        yield band, network_label(**names[band.classifier]), style


def _by_luminosity(bands: Sequence[RocBand]) -> Iterator[Curve]:
    colours = iter(COLOURS * len(bands))
    for band in bands:
        if band.luminosity_fb is None:
            name, style = supervision_label(band.supervision), {"color": "black", "linestyle": "-"}
        else:
            name = luminosity_label(band.luminosity_fb)
            style = {"color": next(colours), "linestyle": "--"}
        yield band, name, style


def _draw_panel(axes: Axes, title: str, grid: np.ndarray, curves: Sequence[Curve]) -> None:
    for band, name, style in curves:
        mean = band.signal_efficiency.mean(axis=0)
        axes.plot(grid, mean, label=f"{name}, {band.area}", **style)
        if len(band.auc) > 1:
            spread = band.signal_efficiency.std(axis=0, ddof=1)
            lower, upper = np.maximum(mean - spread, 0), np.minimum(mean + spread, 1)
            axes.fill_between(grid, lower, upper, color=style["color"], alpha=0.25, linewidth=0)
    axes.plot(grid, grid, ":", color="#777777", label="random choice")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(r"Background efficiency $\varepsilon_\mathrm{B}$")
    axes.set_ylabel(r"Signal efficiency $\varepsilon_\mathrm{S}$")
    # Nothing better than a random choice comes to the lower right.
    axes.legend(
        loc="lower right",
        title=title,
        alignment="left",
        fontsize=12,
        frameon=True,
        framealpha=0.8,
        edgecolor="none",
    )
