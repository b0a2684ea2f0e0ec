"""How well variables and network outputs tell signal from background, and how they correlate."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cwolaflow.errors import InputError, StatisticsError
from cwolaflow.learning.roc import roc_auc

log = logging.getLogger(__name__)

CLASSES = {"signal": 1, "background": 0}
SEPARATION_BINS = 25


def equal_share_edges(
    values: np.ndarray, weights: np.ndarray, bins: int = SEPARATION_BINS
) -> np.ndarray:
    """Inner edges of bins that hold equal shares of the weight, float64, at most bins - 1.

    Edges fall between values, so that the order of events alone decides: a monotonic map of the
    variable changes no bin.
    """
    unique, inverse = np.unique(values, return_inverse=True)
    share = np.cumsum(np.bincount(inverse, weights=weights))
    share /= share[-1]
    last = np.searchsorted(share, np.arange(1, bins) / bins - 1e-12)
    last = np.unique(last[last < len(unique) - 1])
    return (unique[last].astype(np.float64) + unique[last + 1]) / 2


def separation(
    signal: np.ndarray,
    signal_weights: np.ndarray,
    background: np.ndarray,
    background_weights: np.ndarray,
    bins: int = SEPARATION_BINS,
) -> tuple[float, float, float]:
    r"""Give the separation ⟨S²⟩ = ½ Σ (s - b)² / (s + b) of two binned distributions.

    s and b are the shares of a class in each bin; the bins hold equal shares of an equal mixture
    of both. 0 for equal shapes, 1 for shapes without overlap.

    Parameters
    ----------
    signal, background : ndarray, shapes (n,) and (m,)
        The variable.
    signal_weights, background_weights : ndarray, shapes (n,) and (m,)
        Not negative.
    bins : int

    Returns
    -------
    value, error, noise : float
        ⟨S²⟩; its statistical error, to first order in the weights of the bins; and what two
        samples of this size from one distribution would give on average, by which the value is
        too large where the classes look alike.

    Raises
    ------
    StatisticsError
        A class has no weight.
    """
    weights = [np.asarray(w, np.float64) for w in (signal_weights, background_weights)]
    if min(w.sum() for w in weights) <= 0:
        raise StatisticsError(
            "separation: a class has no event with a weight; check the sample table and the cuts"
        )
    both = np.concatenate([signal, background])
    inner = equal_share_edges(both, np.concatenate([w / w.sum() for w in weights]), bins)
    shares, variances = [], []
    for values, weight in zip((signal, background), weights, strict=True):
        index = np.searchsorted(inner, values)
        total = weight.sum()
        shares.append(np.bincount(index, weight, len(inner) + 1) / total)
        variances.append(np.bincount(index, weight**2, len(inner) + 1) / total**2)
    s, b = shares
    filled = s + b
    value = 0.5 * np.sum((s - b) ** 2 / filled)
    slopes = (
        (s - b) * (s + 3 * b) / (2 * filled**2),
        (b - s) * (b + 3 * s) / (2 * filled**2),
    )
    error_squared = sum(
        np.sum((slope - np.sum(slope * share)) ** 2 * variance)
        for slope, share, variance in zip(slopes, shares, variances, strict=True)
    )
    effective = sum(variance.sum() for variance in variances)
    noise = effective * len(inner) / 4
    return float(value), float(np.sqrt(error_squared)), float(noise)


def _by_class(table: pd.DataFrame, column: str) -> list[np.ndarray]:
    arrays = []
    for label in CLASSES.values():
        chosen = (table["label"] == label).to_numpy()
        arrays += [table[column].to_numpy()[chosen], table["weight_fb"].to_numpy()[chosen]]
    return arrays


def separation_table(
    events: pd.DataFrame,
    features: Sequence[str],
    trainings: Iterable[Mapping[str, Any]],
    scores: Iterable[pd.DataFrame],
) -> pd.DataFrame:
    """Tabulate the separation of features and network outputs.

    Parameters
    ----------
    events : DataFrame
        Event table: ``label``, ``weight_fb`` and the features.
    features : sequence of str
        Columns of ``events``.
    trainings : iterable of mapping
        ``classifier``, ``supervision``, ``luminosity_fb`` and ``seed`` of each score table.
    scores : iterable of DataFrame
        ``label``, ``weight_fb`` and ``score`` of held-out events.

    Returns
    -------
    DataFrame
        ``variable`` (a feature or a classifier), ``supervision`` (``none`` for features),
        ``luminosity_fb``, ``seed``, ``separation``, ``error``, ``noise``: see `separation`;
        features by falling separation, then the networks in the order given.

    Raises
    ------
    StatisticsError
        A class has no event.
    """
    names = ["separation", "error", "noise"]

    def row(variable: str, supervision: str, luminosity, seed, table, column) -> dict[str, Any]:
        found = separation(*_by_class(table, column))
        keys = {"variable": variable, "supervision": supervision}
        keys |= {"luminosity_fb": luminosity, "seed": seed}
        return keys | dict(zip(names, found, strict=True))

    rows = [row(name, "none", None, None, events, name) for name in features]
    rows.sort(key=lambda entry: -entry["separation"])
    for job, table in zip(trainings, scores, strict=True):
        keys = (job["classifier"], job["supervision"], job["luminosity_fb"], job["seed"])
        rows.append(row(*keys, table, "score"))
    return pd.DataFrame(rows).astype({"luminosity_fb": float, "seed": "Int64"})


def leading_features(separations: pd.DataFrame, count: int = 6) -> list[str]:
    """Name the features that separate best, given a `separation_table`."""
    features = separations[separations["supervision"] == "none"]
    return features.nlargest(count, "separation")["variable"].tolist()


def weighted_correlation(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson correlations of variables.

    Parameters
    ----------
    values : ndarray, shape (n_variables, n_events)
    weights : ndarray, shape (n_events,)
        Not negative.

    Returns
    -------
    ndarray of float64, shape (n_variables, n_variables)
        NaN for a variable that is constant.
    """
    values = np.asarray(values, np.float64)
    mean = np.average(values, axis=1, weights=weights)
    centred = values - mean[:, None]
    covariance = (centred * weights) @ centred.T / np.sum(weights)
    spread = np.sqrt(np.diag(covariance))
    spread = np.where(spread > 1e-9 * np.abs(mean), spread, np.nan)
    return covariance / np.outer(spread, spread)


def correlation_table(
    events: pd.DataFrame, features: Sequence[str], scores: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Correlations of network outputs and features, class by class.

    Parameters
    ----------
    events : DataFrame
        Event table: ``event_id``, ``label``, ``weight_fb`` and the features.
    features : sequence of str
    scores : mapping
        ``event_id`` and ``score`` of the same events in the same order, by classifier.

    Returns
    -------
    DataFrame
        ``class`` (signal, background), ``variable_1``, ``variable_2``, ``correlation`` and its
        statistical ``error`` (1 - r²) / √n, n the effective number of events; every ordered pair,
        networks first.

    Raises
    ------
    InputError
        Scores are of other events.
    """
    for name, table in scores.items():
        if not np.array_equal(table["event_id"], events["event_id"]):
            raise InputError(
                f"scores of {name}: are not of the events in the event tables; evaluate it again"
            )
    names = [*scores, *features]
    columns = [scores[name]["score"].to_numpy() for name in scores]
    columns += [events[name].to_numpy() for name in features]
    rows = []
    for kind, label in CLASSES.items():
        chosen = (events["label"] == label).to_numpy()
        weights = events["weight_fb"].to_numpy()[chosen]
        effective = weights.sum() ** 2 / np.sum(weights**2)
        matrix = weighted_correlation(np.stack([c[chosen] for c in columns]), weights)
        for i, first in enumerate(names):
            for j, second in enumerate(names):
                r = matrix[i, j]
                rows.append((kind, first, second, r, abs(1 - r**2) / np.sqrt(effective)))
    return pd.DataFrame(rows, columns=["class", "variable_1", "variable_2", "correlation", "error"])


def kolmogorov_smirnov(
    first: np.ndarray, first_weights: np.ndarray, second: np.ndarray, second_weights: np.ndarray
) -> tuple[float, float]:
    """Compare two weighted distributions.

    Returns
    -------
    distance, probability : float
        Largest distance of the cumulative distributions, and the probability of a larger one if
        both samples came from one distribution, asymptotic in the effective numbers of events.
    """
    # Importing it takes longer than all that the other functions do.
    from scipy.special import kolmogorov

    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    signed = np.concatenate(
        [first_weights / np.sum(first_weights), -second_weights / np.sum(second_weights)]
    )
    last_of_value = np.append(np.diff(values[order]) > 0, True)
    distance = np.abs(np.cumsum(signed[order])[last_of_value]).max()
    n, m = (np.sum(w) ** 2 / np.sum(w**2) for w in (first_weights, second_weights))
    return float(distance), float(kolmogorov(distance * np.sqrt(n * m / (n + m))))


def overtraining(
    trained: Sequence[pd.DataFrame], scores: pd.DataFrame, held_out: Sequence[Sequence[int]]
) -> dict[str, float] | None:
    """Compare scores of the events that trained each network with those of its held-out folds.

    Parameters
    ----------
    trained : sequence of DataFrame
        Training events of each network, from `crossfit.score_training_events`: ``label`` (truth),
        ``weight_fb``, ``score``, ``training_label`` and ``training_weight``.
    scores : DataFrame
        Scores of all held-out events: ``label``, ``weight_fb``, ``score`` and ``fold``.
    held_out : sequence of sequence of int
        Folds that each network has not seen.

    Returns
    -------
    dict or None
        Averages over networks: ``auc_train`` and ``auc`` of signal against background on either,
        ``auc_train_labels`` of the labels trained on, and of the score shapes of signal and
        background the ``ks_*`` distance; ``p_*`` is the smallest probability of any network. None
        where a network has no signal or no background with a weight among its events.
    """
    rows = []
    for seen, folds in zip(trained, held_out, strict=True):
        new = scores[scores["fold"].isin(folds)]
        entry: dict[str, float] = {}
        for name, table in (("auc_train", seen), ("auc", new)):
            if table.loc[table["weight_fb"] > 0, "label"].nunique() < 2:
                log.info(
                    "over-training not measured: no signal or no background among the %s events "
                    "of a network",
                    "training" if table is seen else "held-out",
                )
                return None
            entry[name] = roc_auc(table["label"], table["score"], table["weight_fb"])
        entry["auc_train_labels"] = roc_auc(
            seen["training_label"], seen["score"], seen["training_weight"]
        )
        pairs = [_by_class(table, "score") for table in (seen, new)]
        for place, kind in enumerate(CLASSES):
            arrays = [array for pair in pairs for array in pair[2 * place : 2 * place + 2]]
            entry[f"ks_{kind}"], entry[f"p_{kind}"] = kolmogorov_smirnov(*arrays)
        rows.append(entry)
    table = pd.DataFrame(rows)
    result = table.mean().to_dict()
    return result | {name: table[name].min() for name in table if name.startswith("p_")}
