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


def score_table(events: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """Join scores to what limits and metrics need.

    Parameters
    ----------
    events : DataFrame
        Event table with `SCORE_COLUMNS`.
    scores : ndarray of float32, shape (n_events,)
        From `crossfit.score_crossfit`.

    Returns
    -------
    DataFrame
        `SCORE_COLUMNS` and ``score``, one row an event.
    """
    return events[list(SCORE_COLUMNS)].assign(score=scores.astype(np.float32))


def evaluate(scores: pd.DataFrame, summary: dict[str, Any]) -> dict[str, Any]:
    """Measure a cross-fit classifier on pure, labelled, held-out events.

    Parameters
    ----------
    scores : DataFrame
        From `score_table`. Events weigh ``weight_fb``, the expected yield.
    summary : dict
        Of `crossfit.train_crossfit`.

    Returns
    -------
    dict
        ``auc``: of signal against background. ``auc_mixed``: of SR against SB, null where a
        region has no event. ``accuracy``: at score 0.5, signal and background counting the same.
        ``n_m1``, ``n_m2`` and ``notes``: from the summary. ``n_test_signal`` and
        ``n_test_background``: numbers of events.

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
    mixed = scores[scores["region"].isin(REGIONS)]
    in_sr = (mixed["region"] == REGIONS[0]).to_numpy()
    both = mixed["weight_fb"][in_sr].sum() > 0 and mixed["weight_fb"][~in_sr].sum() > 0
    return {
        "auc": roc_auc(is_signal, scores["score"], scores["weight_fb"]),
        "auc_mixed": roc_auc(in_sr, mixed["score"], mixed["weight_fb"]) if both else None,
        "accuracy": balanced_accuracy(is_signal, scores["score"] > 0.5, scores["weight_fb"]),
        "notes": summary["notes"],
        "n_m1": summary["n_m1"],
        "n_m2": summary["n_m2"],
        "n_test_signal": int(is_signal.sum()),
        "n_test_background": int((~is_signal).sum()),
    }


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
