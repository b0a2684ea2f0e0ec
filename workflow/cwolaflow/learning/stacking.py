"""Boosted trees on the scores of networks, none of which has seen the event that it scores.

The training events of the trees are divided into parts. One network is trained without each part,
on the others alone, and scores it: with these scores, out of fold, the trees are trained. All other
events, those that choose the iteration and those that are held out from the trees, were seen by no
network, and get the mean score of all. This is the stacking of Wolpert (Neural Networks 5 (1992)
241), with the bagged networks in place of one that is trained again on all parts.
"""

from typing import Any

import numpy as np
import torch

from cwolaflow.learning.boosting import fit_trees
from cwolaflow.learning.checkpoints import Checkpoints
from cwolaflow.learning.fit import History, fit, predict, predict_logits, reproducible
from cwolaflow.learning.inputs import FeatureTable, StackedInputs
from cwolaflow.learning.mixtures import TrainingSet, split_validation, thin
from cwolaflow.models import StackedTrees, network_scores
from cwolaflow.seeds import derive_seed

EVENTS_AT_ONCE = 512


def parts_of(train: TrainingSet, n_parts: int, seed: int) -> np.ndarray:
    """Deal training events to parts at random, evenly within each label.

    Parameters
    ----------
    train : TrainingSet
    n_parts : int
    seed : int

    Returns
    -------
    ndarray of int64, shape (n_events of ``train``,)
        Part in [0, n_parts).
    """
    rng = np.random.default_rng(derive_seed(seed, "parts"))
    part = np.empty(len(train.rows), np.int64)
    for label in (0, 1):
        members = np.flatnonzero(train.labels == label)
        part[rng.permutation(members)] = np.arange(len(members)) % n_parts
    return part


def _scores(
    model: StackedTrees, number: int, inputs: StackedInputs, rows: np.ndarray, device: torch.device
) -> np.ndarray:
    network = model.networks[number].to(device)
    scores = predict(network, network_scores, inputs.scored, rows, EVENTS_AT_ONCE, device)
    network.cpu()
    return scores


def training_features(
    model: StackedTrees,
    inputs: StackedInputs,
    train: TrainingSet,
    seed: int,
    unseen: np.ndarray,
    device: torch.device,
) -> FeatureTable:
    """Join features and scores of networks, each event's from networks not trained on it.

    Parameters
    ----------
    model : StackedTrees
        Its networks are trained.
    inputs : StackedInputs
        Scaled.
    train : TrainingSet
        Events that the parts were made of; each gets the score of the network without its part.
    seed : int
        That of `fit_stacked`.
    unseen : ndarray of int64, shape (n,)
        Rows that no network was trained on; they get the mean.
    device : torch.device

    Returns
    -------
    FeatureTable
        Scores of all other events are NaN.
    """
    n_networks = len(model.networks)
    part = parts_of(train, n_networks, seed)
    scores = np.full((len(inputs), model.n_scores), np.nan, np.float32)
    of_unseen = []
    for number in range(n_networks):
        own = train.rows[part == number]
        found = _scores(model, number, inputs, np.concatenate([own, unseen]), device)
        scores[own] = found[: len(own)]
        of_unseen.append(found[len(own) :])
    scores[unseen] = np.mean(of_unseen, axis=0)
    return FeatureTable(torch.cat([inputs.features.features, torch.from_numpy(scores)], dim=1))


def fit_stacked(
    model: StackedTrees,
    inputs: StackedInputs,
    train: TrainingSet,
    valid: TrainingSet,
    training_config: dict[str, Any],
    seed: int,
    validation_fraction: float,
    device: torch.device,
    threads: int = 1,
    description: str = "training",
    checkpoints: Checkpoints | None = None,
) -> History:
    """Train the networks, and the trees on features and scores.

    Parameters
    ----------
    model : StackedTrees
        Trained in place.
    inputs : StackedInputs
        Already scaled.
    train : TrainingSet
        Events of trees and networks.
    valid : TrainingSet
        Events that choose the iteration of the trees; no network has them, not even to choose its
        epoch.
    training_config : dict
        For `boosting.fit_trees`, and ``scores_of``, for `fit.fit` of the networks, with
        ``max_events`` for the events of one.
    seed : int
    validation_fraction : float
        Share of the events of a network that chooses its epoch.
    device : torch.device
        Of the networks.
    threads : int
        CPU threads of the networks.
    description : str
        For the progress bar and errors.
    checkpoints : Checkpoints, optional
        For `fit.fit` of the networks.

    Returns
    -------
    History
        Of the trees.

    Raises
    ------
    StatisticsError
        There are too few events.
    CwolaflowError, ConfigError
        See `fit.fit`.
    """
    network_config = training_config["scores_of"]
    part = parts_of(train, len(model.networks), seed)
    for number, network in enumerate(model.networks):
        seeds = {
            use: derive_seed(seed, "part", number, use)
            for use in ("thinning", "validation", "training")
        }
        others = train.take(part != number)
        others = thin(others, network_config.get("max_events", len(others.rows)), seeds["thinning"])
        fit(
            network,
            inputs.scored,
            *split_validation(others, validation_fraction, seeds["validation"]),
            network_config,
            seeds["training"],
            device,
            threads,
            f"{description}, without part {number + 1} of {len(model.networks)}",
            checkpoints,
        )
        network.cpu().eval()
    with reproducible(0, threads):
        table = training_features(model, inputs, train, seed, valid.rows, device)
    return fit_trees(model.trees, table, train, valid, training_config, seed, description)


def logits_of_training_events(
    model: StackedTrees,
    inputs: StackedInputs,
    train: TrainingSet,
    rows: np.ndarray,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """Give the logits of some events of ``train`` with the scores that the trees were trained on.

    Parameters
    ----------
    model, inputs, train, seed, device
        As in `fit_stacked`, the model trained.
    rows : ndarray of int64, shape (n,)

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    table = training_features(model, inputs, train, seed, np.zeros(0, np.int64), device)
    return predict_logits(model.trees, table, rows, len(rows), torch.device("cpu"))
