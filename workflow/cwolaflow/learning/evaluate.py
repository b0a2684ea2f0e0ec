"""Scores of held-out events, and how well they tell signal from background."""

from typing import Any

import numpy as np
import pandas as pd

from cwolaflow.errors import StatisticsError
from cwolaflow.learning.mixtures import REGIONS, check_weights
from cwolaflow.learning.roc import balanced_accuracy, roc_auc, roc_points

SCORE_COLUMNS = (
    "event_id",
    "sample",
    "process",
    "label",
    "region",
    "fold",
    "weight_fb",
    "missing_et",
    "flavour_category",
)


def score_table(
    events: pd.DataFrame, scores: np.ndarray, is_test: np.ndarray | None = None
) -> pd.DataFrame:
    """Join scores to what limits and metrics need.

    Parameters
    ----------
    events : DataFrame
        Event table with `SCORE_COLUMNS`.
    scores : ndarray of float32, shape (n_events,)
        From `crossfit.score_crossfit`.
    is_test : ndarray of bool, shape (n_events,), optional
        Events to keep, from `crossfit.TrainedEnsemble.is_test`; all if not given.

    Returns
    -------
    DataFrame
        `SCORE_COLUMNS` and ``score``, one row a kept event. ``weight_fb`` is scaled so that the
        kept events of a process have the expected yield of all.
    """
    table = events[list(SCORE_COLUMNS)].assign(score=scores.astype(np.float32))
    if is_test is None or is_test.all():
        return table
    expected = table.groupby("process")["weight_fb"].sum()
    table = table[is_test].reset_index(drop=True)
    kept = table.groupby("process")["weight_fb"].sum()
    factor = (expected / kept.where(kept > 0)).fillna(1.0)
    table["weight_fb"] *= table["process"].map(factor).to_numpy()
    return table


def implied_auc_mixed(f1: float, f2: float, auc: float) -> float:
    """AUC of M1 against M2 where, given its class, the score of an event does not know its region.

    Parameters
    ----------
    f1, f2 : float
        Signal fractions of M1 and M2.
    auc : float
        Of signal against background.
    """
    return 0.5 + (f1 - f2) * (auc - 0.5)


def evaluate(scores: pd.DataFrame, summary: dict[str, Any]) -> dict[str, Any]:
    """Measure a classifier on pure, labelled, held-out events.

    Parameters
    ----------
    scores : DataFrame
        From `score_table`. Events weigh ``weight_fb``, the expected yield.
    summary : dict
        Of `crossfit.train_crossfit`.

    Returns
    -------
    dict
        ``auc``: of signal against background. ``auc_mixed``: of SR against SB, signal scaled as
        in the mixtures of the training, null where a region has no event. ``auc_mixed_implied``:
        see `implied_auc_mixed`, and ``auc_mixed_excess``, what ``auc_mixed`` has beyond it; null
        where no mixtures were drawn. ``accuracy``: at score 0.5, signal and background counting
        the same. ``n_m1``, ``n_m2``, ``n_train``, ``f1``, ``f2`` and ``notes``: from the summary.
        ``n_test_signal`` and ``n_test_background``: numbers of events.

    Raises
    ------
    StatisticsError
        A class has no event, or weights are negative.
    """
    check_weights(scores)
    is_signal = scores["label"].to_numpy() == 1
    weighted = [scores["weight_fb"].to_numpy()[is_signal == side].sum() for side in (True, False)]
    if min(weighted) <= 0:
        absent = "background" if weighted[0] > 0 else "signal"
        raise StatisticsError(
            f"evaluation: no {absent} event with a weight; check the sample table and the cuts"
        )
    auc = roc_auc(is_signal, scores["score"], scores["weight_fb"])
    auc_mixed = _auc_mixed(scores, summary["signal_scale"])
    implied = None
    if summary["f1"] is not None:
        implied = implied_auc_mixed(summary["f1"], summary["f2"], auc)
    has_both = None not in (auc_mixed, implied)
    return {
        "auc": auc,
        "auc_mixed": auc_mixed,
        "auc_mixed_implied": implied,
        "auc_mixed_excess": auc_mixed - implied if has_both else None,
        "accuracy": balanced_accuracy(is_signal, scores["score"] > 0.5, scores["weight_fb"]),
        "notes": summary["notes"],
        **{name: summary[name] for name in ("n_m1", "n_m2", "n_train", "f1", "f2")},
        "n_test_signal": int(is_signal.sum()),
        "n_test_background": int((~is_signal).sum()),
    }


def _auc_mixed(scores: pd.DataFrame, signal_scale: float) -> float | None:
    mixed = scores[scores["region"].isin(REGIONS)]
    in_sr = (mixed["region"] == REGIONS[0]).to_numpy()
    scale = np.where(mixed["label"] == 1, signal_scale, 1.0)
    weights = mixed["weight_fb"].to_numpy() * scale
    if min(weights[in_sr].sum(), weights[~in_sr].sum()) <= 0:
        return None
    return roc_auc(in_sr, mixed["score"], weights)


def roc_curve(
    is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray, points: int = 501
) -> tuple[np.ndarray, np.ndarray]:
    """Give the ROC curve on a common grid, so that curves of several seeds can be averaged.

    Parameters
    ----------
    is_positive : ndarray of bool, shape (n,)
    scores, weights : ndarray, shape (n,)
        Weights are not negative.
    points : int
        Of the grid.

    Returns
    -------
    fpr, tpr : ndarray of float64, shape (points,)
        Even grid of the false-positive rate from 0 to 1, and the true-positive rate there; where
        the curve rises vertically, the upper end.
    """
    fpr, tpr = roc_points(is_positive, scores, weights)
    grid = np.linspace(0, 1, points)
    return grid, np.interp(grid, fpr, tpr)
