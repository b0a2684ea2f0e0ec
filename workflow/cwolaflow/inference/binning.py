"""Bin edges from simulation, and the templates filled with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import hist
import numpy as np

from cwolaflow.errors import InputError, StatisticsError


@dataclass(frozen=True)
class Templates:
    """Expected events of each process in the bins of one channel.

    Attributes
    ----------
    edges : ndarray of float64, shape (bins + 1,)
        Bin edges. Events outside are counted in the first or the last bin.
    counts : dict of str to ndarray of float64, shape (bins,)
        Expected events of each process.
    variances : dict of str to ndarray of float64, shape (bins,)
        Squares of the simulation errors of ``counts``.
    """

    edges: np.ndarray
    counts: dict[str, np.ndarray]
    variances: dict[str, np.ndarray]


@dataclass(frozen=True)
class Shift:
    """Expected events of each process if some source of uncertainty is off by ±1σ.

    Attributes
    ----------
    up, down : dict of str to ndarray of float64, shape (bins,)
    """

    up: dict[str, np.ndarray]
    down: dict[str, np.ndarray]


def choose_edges(
    values: np.ndarray,
    weights: np.ndarray,
    is_background: np.ndarray,
    value_range: tuple[float, float] | None,
    bins: int,
    max_bin_error: float,
) -> np.ndarray:
    """Choose the finest edges that keep the background's simulation error small in every bin.

    Fine starting bins are merged with their lower neighbours, from the high (signal-rich) edge
    downwards, until the relative error sqrt(Σw²)/Σw of the background is at most
    ``max_bin_error`` in each. What is left over at the low edge joins the bin above it. In the
    extreme, one bin over everything remains. Only simulation is looked at; the edges depend on
    neither the luminosity nor the order of the events.

    The rule of at most 15% is that of arXiv:2008.05434.

    Parameters
    ----------
    values : array of float, shape (events,)
        The binned variable.
    weights : array of float, shape (events,)
        Expected events, at any luminosity. Negative weights are fine.
    is_background : array of bool, shape (events,)
        True for background, false for signal.
    value_range : (float, float) or None
        The range that is cut into ``bins`` uniform starting bins; events outside count in the bins
        at the edges. None, for classifier scores, whose range may be narrow: the starting edges
        are quantiles of the simulation, with signal and background given equal total weight, so
        that the tail that is rich in signal gets as many bins as the bulk of the background.
    bins : int
        Number of starting bins.
    max_bin_error : float
        Largest relative simulation error of the background in a bin.

    Returns
    -------
    ndarray of float64, shape (final bins + 1,)

    Raises
    ------
    InputError
        A value or weight is not finite.
    StatisticsError
        All background in one bin is still too uncertain, or there is none.
    """
    values, weights, is_background = _in_fixed_order(values, weights, is_background)
    if value_range is None:
        edges = _quantile_edges(values, weights, is_background, bins)
    else:
        edges = np.linspace(*value_range, bins + 1)
    values, weights = values[is_background], weights[is_background]
    index = _clipped_bins(values, edges)
    sums = np.bincount(index, weights, minlength=len(edges) - 1)
    squares = np.bincount(index, weights**2, minlength=len(edges) - 1)
    if not _is_precise(sums.sum(), squares.sum(), max_bin_error):
        raise StatisticsError(
            _too_few_events(len(weights), sums.sum(), squares.sum(), max_bin_error)
        )
    return edges[_merged_boundaries(sums, squares, max_bin_error)]


def fill_templates(
    values: np.ndarray,
    weights_fb: np.ndarray,
    processes: np.ndarray,
    edges: np.ndarray,
    luminosity_fb: float,
    order: Sequence[str],
) -> Templates:
    """Fill the expected events of each process at a luminosity.

    Parameters
    ----------
    values : array of float, shape (events,)
        The binned variable. Events outside the edges count in the bins at the edges.
    weights_fb : array of float, shape (events,)
        Expected events per fb⁻¹.
    processes : array of str, shape (events,)
        Process of each event.
    edges : array of float, shape (bins + 1,)
        Bin edges.
    luminosity_fb : float
        Luminosity in fb⁻¹.
    order : sequence of str
        All processes of the study; the templates come in this order.

    Raises
    ------
    InputError
        A value or weight is not finite, or an event's process is not in ``order``.
    StatisticsError
        A process has no event.
    """
    values, weights_fb, processes = map(np.asarray, (values, weights_fb, processes))
    _require_finite(values, weights_fb)
    unknown = sorted(set(np.unique(processes)) - set(order))
    if unknown:
        raise InputError(
            f"events of process {unknown[0]}, which the study does not have: add it to `processes`"
        )
    edges = np.asarray(edges, dtype=np.float64)
    inside = np.clip(values.astype(np.float64), edges[0], np.nextafter(edges[-1], -np.inf))
    templates = Templates(edges=edges, counts={}, variances={})
    for process in order:
        chosen = processes == process
        if not chosen.any():
            raise StatisticsError(
                f"process {process} has no simulated event left to bin: simulate more of it, or "
                "take it out of `processes`"
            )
        filled = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight())
        filled.fill(inside[chosen], weight=weights_fb[chosen] * luminosity_fb)
        templates.counts[process] = filled.values()
        templates.variances[process] = filled.variances()
    return templates


def _in_fixed_order(values, weights, is_background):
    """Sort events, so that sums do not depend on the order in which they came."""
    values = np.asarray(values, dtype=np.float64)
    weights = np.asarray(weights, dtype=np.float64)
    is_background = np.asarray(is_background, dtype=bool)
    _require_finite(values, weights)
    order = np.lexsort((is_background, weights, values))
    return values[order], weights[order], is_background[order]


def _require_finite(values, weights):
    for name, array in (("values", values), ("weights", weights)):
        bad = np.count_nonzero(~np.isfinite(array))
        if bad:
            raise InputError(
                f"{bad} of {len(array)} {name} to be binned are not finite: mend the step that "
                "made them"
            )


def _quantile_edges(values, weights, is_background, bins):
    """Edges at quantiles of sorted ``values``; |w| keeps the cumulative sum rising."""
    size = np.abs(weights)
    for chosen in (is_background, ~is_background):
        total = size[chosen].sum()
        if total > 0:
            size[chosen] /= total
    cumulative = np.cumsum(size)
    if len(values) == 0 or values[0] == values[-1]:
        centre = values[0] if len(values) else 0.0
        return np.array([centre - 0.5, centre + 0.5])
    targets = np.linspace(0, cumulative[-1], bins + 1)[1:-1]
    inner = values[np.searchsorted(cumulative, targets)]
    return np.unique(np.concatenate([values[:1], inner, values[-1:]]))


def _clipped_bins(values, edges):
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _is_precise(total, squares, max_bin_error):
    return total > 0 and squares <= (max_bin_error * total) ** 2


def _merged_boundaries(sums, squares, max_bin_error):
    """Indices of the edges that stay; the sum over all bins is known to be precise enough."""
    boundaries = [len(sums)]
    for low in range(len(sums) - 1, -1, -1):
        group = slice(low, boundaries[-1])
        if _is_precise(sums[group].sum(), squares[group].sum(), max_bin_error):
            boundaries.append(low)
    while boundaries[-1] != 0:
        # A remainder of large weights may spoil the bin that it joins.
        boundaries.pop()
        group = slice(0, boundaries[-1])
        if _is_precise(sums[group].sum(), squares[group].sum(), max_bin_error):
            boundaries.append(0)
    return boundaries[::-1]


def _too_few_events(events, total, squares, max_bin_error):
    if total <= 0:
        return (
            f"the background adds up to {total:.3g} expected events from {events} simulated ones: "
            "simulate more background"
        )
    error = np.sqrt(squares) / total
    needed = int(np.ceil(events * (error / max_bin_error) ** 2))
    return (
        f"{events} simulated background events give an error of {error:.3g} in one bin over "
        f"everything, where limits.max_bin_error allows {max_bin_error:g}: simulate about {needed} "
        "background events, or allow more"
    )
