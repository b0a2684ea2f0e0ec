"""Gradient-boosted decision trees: their fit, and the choice of the best iteration."""

import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch.nn import functional

from cwolaflow.learning.fit import MONITORS, History, reproducible, validate
from cwolaflow.learning.inputs import Inputs
from cwolaflow.learning.mixtures import TrainingSet
from cwolaflow.logs import progress
from cwolaflow.models import BoostedTrees

log = logging.getLogger(__name__)

ITERATIONS_AT_ONCE = 50  # after so many, the validation is looked at
EVENTS_AT_ONCE = 20_000


class _Course:
    """Logits of some events while trees are added.

    Parameters
    ----------
    features : tensor, shape (n, n_features)
    baseline : float
    """

    def __init__(self, features: torch.Tensor, baseline: float) -> None:
        self.features = features
        self.logits = torch.full((len(features),), baseline, dtype=torch.float64)

    def add(self, trees: BoostedTrees) -> Iterator[tuple[slice, torch.Tensor]]:
        """Give some events at a time and their logits, shape (n, n_trees), after each tree."""
        for start in range(0, len(self.features), EVENTS_AT_ONCE):
            rows = slice(start, start + EVENTS_AT_ONCE)
            steps = trees.leaf_values(self.features[rows]).cumsum(1)
            logits = self.logits[rows, None] + steps
            self.logits[rows] = logits[:, -1]
            yield rows, logits


def _losses(course: _Course, trees: BoostedTrees, train: TrainingSet) -> np.ndarray:
    """Weighted training loss after each tree, float64, shape (n_trees,)."""
    labels, weights = (torch.from_numpy(x).double() for x in (train.labels, train.weights))
    total = torch.zeros(len(trees.root), dtype=torch.float64)
    for rows, logits in course.add(trees):
        total += functional.binary_cross_entropy_with_logits(
            logits,
            labels[rows, None].expand_as(logits),
            weights[rows, None],
            reduction="none",
        ).sum(0)
    return (total / weights.sum()).numpy()


def last_iteration(values: np.ndarray, patience: int | None) -> int | None:
    """Find after which iteration to stop.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        Monitored quantity of the iterations so far, larger is better.
    patience : int or None
        Iterations without a better one after which to stop; None never stops.

    Returns
    -------
    int or None
        The last iteration that counts, or None to go on.
    """
    if patience is None:
        return None
    iteration = np.arange(len(values))
    before = np.maximum.accumulate(np.concatenate([[-math.inf], values[:-1]]))
    best = np.maximum.accumulate(np.where(values > before, iteration, 0))
    stopped = np.flatnonzero(iteration - best >= patience)
    return int(stopped[0]) if len(stopped) else None


def fit_trees(
    model: BoostedTrees,
    inputs: Inputs,
    train: TrainingSet,
    valid: TrainingSet,
    training_config: dict[str, Any],
    seed: int,
    description: str = "training",
) -> History:
    """Fit boosted trees to weighted binary cross-entropy and keep those up to the best iteration.

    The trees are those of scikit-learn's ``HistGradientBoostingClassifier``, fitted on one CPU
    thread: sums, and with them the choice between equal splits, would depend on their number.

    Parameters
    ----------
    model : BoostedTrees
        Gets the trees; its options bound their size.
    inputs : Inputs
        High-level features, already scaled.
    train, valid : TrainingSet
        See `fit.fit`. No other events stop the fit than those of ``valid``.
    training_config : dict
        ``learning_rate``, ``max_iter`` (iterations, of one tree each), ``monitor`` (loss, accuracy,
        auc) and optionally ``patience``, the iterations without a better one after which to stop.
    seed : int
        Seed of the events that find the bins of the features, where there are more than 200,000.
    description : str
        For the progress bar.

    Returns
    -------
    History
        An epoch is an iteration; losses are those after it.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    column, sign = MONITORS[training_config["monitor"]]
    max_iter, patience = training_config["max_iter"], training_config.get("patience")
    boosting = HistGradientBoostingClassifier(
        learning_rate=training_config["learning_rate"],
        max_leaf_nodes=model.max_leaf_nodes,
        min_samples_leaf=model.min_samples_leaf,
        l2_regularization=model.l2_regularization,
        early_stopping=False,
        warm_start=True,
        random_state=seed % 2**32,
    )
    train_features, valid_features = (
        inputs.batch(torch.from_numpy(events.rows))[0] for events in (train, valid)
    )
    epochs: list[dict[str, float]] = []
    courses: list[_Course] = []
    stop = None
    with reproducible(seed, 1):
        blocks = range(0, max_iter, ITERATIONS_AT_ONCE)
        for start in progress(blocks, description, unit="block"):
            boosting.set_params(max_iter=min(start + ITERATIONS_AT_ONCE, max_iter))
            with threadpool_limits(1, "openmp"):
                boosting.fit(train_features.numpy(), train.labels, sample_weight=train.weights)
            baseline = float(boosting._baseline_prediction.item())
            courses = courses or [_Course(x, baseline) for x in (train_features, valid_features)]
            trees = [predictor.nodes for (predictor,) in boosting._predictors]
            model.set_trees(0.0, trees[start:])
            losses = _losses(courses[0], model, train)
            parts = [logits.float().numpy() for _, logits in courses[1].add(model)]
            epochs += [
                {"epoch": start + i, "train_loss": loss, **validate(logits, valid)}
                for i, (loss, logits) in enumerate(
                    zip(losses, np.ascontiguousarray(np.concatenate(parts).T), strict=True)
                )
            ]
            values = sign * np.array([epoch[column] for epoch in epochs])
            stop = last_iteration(values, patience)
            if stop is not None:
                break
    history = pd.DataFrame(epochs[: len(epochs) if stop is None else stop + 1])
    best = int(np.argmax(sign * history[column].to_numpy()))
    model.set_trees(baseline, trees[: best + 1])
    log.info("%s: best iteration %d of %d", description, best, len(history))
    return History(history, best)
