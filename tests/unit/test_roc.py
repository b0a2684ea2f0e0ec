import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from cwolaflow.learning.roc import accuracy, balanced_accuracy, roc_auc, roc_points


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(1, 40), st.booleans())
def test_agrees_with_scikit_learn(seed, n, distinct, some_without_weight):
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.arange(n) % 2 == 0)
    scores = rng.integers(0, distinct, n) / distinct
    weights = rng.uniform(0.1, 3, n)
    if some_without_weight and n > 6:
        weights[rng.permutation(n)[: n // 3]] = 0
        if min(weights[positive].sum(), weights[~positive].sum()) == 0:
            weights += 1
    given = {"sample_weight": weights}
    fpr, tpr, _ = metrics.roc_curve(positive, scores, drop_intermediate=False, **given)
    # Scikit-learn leaves events of weight 0 out beforehand.
    some = weights > 0
    ours = roc_points(positive[some], scores[some], weights[some])
    np.testing.assert_allclose(ours, (fpr, tpr), rtol=1e-12, atol=1e-15)
    assert roc_auc(positive, scores, weights) == pytest.approx(
        metrics.roc_auc_score(positive, scores, **given), rel=1e-12
    )
    predicted = scores > 0.5
    assert accuracy(positive, predicted, weights) == pytest.approx(
        metrics.accuracy_score(positive, predicted, **given), rel=1e-12
    )
    assert balanced_accuracy(positive, predicted, weights) == pytest.approx(
        metrics.balanced_accuracy_score(positive, predicted, **given), rel=1e-12
    )


def test_equal_scores_pass_together():
    fpr, tpr = roc_points([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], [1, 2, 3, 4])
    assert (fpr.tolist(), tpr.tolist()) == ([0, 1], [0, 1])


def test_single_precision_weights_are_summed_in_double():
    # In single precision 2²⁴ + 1 is 2²⁴: the second event would not count.
    weights = np.array([2**24, 1, 1], np.float32)
    assert roc_points([1, 1, 0], [0.9, 0.5, 0.1], weights)[1][1] == 2**24 / (2**24 + 1)
