"""ROC curves of the classifiers, trained in several ways."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cwolaflow.errors import InputError
from cwolaflow.learning.evaluate import roc_curve
from cwolaflow.learning.roc import roc_auc
from cwolaflow.plotting.labels import analysis_label, supervision_label
from cwolaflow.plotting.style import COLOURS, luminosity_label, new_figure, stamp, styled


@dataclass(frozen=True)
class RocBand:
    """ROC curves of equal trainings that differ in their seed.

    Attributes
    ----------
    supervision : str
        ``supervised``, ``cwola`` or ``transfer``.
    luminosity_fb : float or None
        Luminosity in fb⁻¹ of the training mixtures; None where the training has none.
    signal_efficiency : numpy.ndarray
        Float, shape (n_seeds, n_points), in [0, 1], at the common background efficiencies.
    auc : numpy.ndarray
        Area under each curve, float, shape (n_seeds,).
    """

    supervision: str
    luminosity_fb: float | None
    signal_efficiency: np.ndarray
    auc: np.ndarray

    @property
    def label(self) -> str:
        """Text of the legend: training, and mean AUC with its spread over seeds."""
        name = supervision_label(self.supervision)
        if self.luminosity_fb is not None:
            name = f"{name} {luminosity_label(self.luminosity_fb)}"
        area = f"{np.mean(self.auc):.3f}"
        if len(self.auc) > 1:
            area += f" ± {np.std(self.auc, ddof=1):.3f}"
        return f"{name}, AUC {area}"


def roc_bands(
    trainings: Sequence[tuple[str, str, str]], scores: Iterable[pd.DataFrame]
) -> tuple[np.ndarray, dict[str, list[RocBand]]]:
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
    curves : dict
        ``RocBand`` objects by classifier, in the order of the trainings.
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
    bands: dict[str, list[RocBand]] = {}
    for key, members in curves.items():
        classifier, supervision, luminosity = key
        luminosity_fb = None if luminosity == "all" else float(luminosity)
        bands.setdefault(classifier, []).append(
            RocBand(supervision, luminosity_fb, np.stack(members), np.array(areas[key]))
        )
    return grid, bands


@styled
def roc_curves(
    background_efficiency: np.ndarray,
    curves: Mapping[str, Sequence[RocBand]],
    *,
    sqrt_s_tev: float,
) -> Figure:
    """Draw signal efficiency ε_S against background efficiency ε_B, one panel a classifier.

    A line is the mean over seeds of the signal efficiency at fixed background efficiency, its
    band the standard deviation over seeds to both sides. The dotted line is a random choice.

    Parameters
    ----------
    background_efficiency : numpy.ndarray
        Common grid of background efficiencies, float, shape (n_points,), in [0, 1].
    curves : mapping
        The ways of training by classifier.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    InputError
        There are no curves, or one is not on the common grid.
    """
    if not curves:
        raise InputError("ROC curves: there are none; evaluate a training first")
    figure = new_figure(height=0.9 + 4.3 * len(curves))
    panels = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (classifier, bands) in zip(panels, curves.items(), strict=True):
        _draw_panel(panel, classifier, background_efficiency, bands)
    panels[-1].set_xlabel(r"Background efficiency $\varepsilon_\mathrm{B}$")
    stamp(panels[0], sqrt_s_tev)
    return figure


def _draw_panel(axes: Axes, classifier: str, grid: np.ndarray, bands: Sequence[RocBand]) -> None:
    colours = iter(COLOURS * len(bands))
    for band in bands:
        if band.signal_efficiency.shape != (len(band.auc), len(grid)):
            raise InputError(
                f"ROC of {classifier}: shape {band.signal_efficiency.shape} is not "
                f"(seeds, points) = {(len(band.auc), len(grid))}; "
                "interpolate the curves to the common grid"
            )
        mean = band.signal_efficiency.mean(axis=0)
        mixed = band.luminosity_fb is not None
        colour = next(colours) if mixed else "black"
        axes.plot(grid, mean, "--" if mixed else "-", color=colour, label=band.label)
        if len(band.auc) > 1:
            spread = band.signal_efficiency.std(axis=0, ddof=1)
            lower, upper = np.maximum(mean - spread, 0), np.minimum(mean + spread, 1)
            axes.fill_between(grid, lower, upper, color=colour, alpha=0.25, linewidth=0)
    axes.plot(grid, grid, ":", color="#777777", label="random choice, AUC 0.5")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel(r"Signal efficiency $\varepsilon_\mathrm{S}$")
    # Nothing better than a random choice comes to the lower right.
    axes.legend(
        loc="lower right",
        title=analysis_label(classifier),
        alignment="left",
        fontsize=12,
        frameon=True,
        framealpha=0.8,
        edgecolor="none",
    )
