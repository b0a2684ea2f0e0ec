"""ROC curve, AUC and accuracies of weighted events.

The same numbers as ``sklearn.metrics``, whose import takes longer than most evaluations.
"""

import numpy as np


def roc_points(
    is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the corners of the ROC curve.

    Parameters
    ----------
    is_positive : array_like of bool, shape (n,)
    scores, weights : array_like of float, shape (n,)
        Scores are finite, weights not negative; both classes have some weight.

    Returns
    -------
    fpr, tpr : ndarray of float64, shape (distinct scores + 1,)
        From (0, 0) to (1, 1), in falling order of the threshold.
    """
    scores = np.asarray(scores, np.float64)
    weights = np.asarray(weights, np.float64)
    order = np.argsort(-scores, kind="stable")
    positive = np.asarray(is_positive).astype(bool)[order]
    # Events of equal score pass a threshold together.
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    rates = []
    for side in (~positive, positive):
        passed = np.cumsum(weights[order] * side)[last_of_equals]
        rates.append(np.append(0.0, passed / passed[-1]))
    return rates[0], rates[1]


def roc_auc(is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Area under the curve of `roc_points`."""
    fpr, tpr = roc_points(is_positive, scores, weights)
    return float(np.trapezoid(tpr, fpr))


def accuracy(is_positive: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """Weighted share of events whose prediction is right; all arrays have shape (n,)."""
    right = np.asarray(is_positive).astype(bool) == np.asarray(predicted)
    return float(np.average(right, weights=np.asarray(weights, np.float64)))


def balanced_accuracy(is_positive: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """Mean of the accuracies on positive and on negative events."""
    positive, predicted, weights = map(np.asarray, (is_positive, predicted, weights))
    sides = (positive.astype(bool), ~positive.astype(bool))
    return float(
        np.mean([accuracy(positive[side], predicted[side], weights[side]) for side in sides])
    )
