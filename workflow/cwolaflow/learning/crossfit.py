"""Cross-fit: no event is scored by a network that was trained on its fold."""

import copy
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

import cwolaflow
from cwolaflow.config.plan import mixture_notes
from cwolaflow.errors import InputError
from cwolaflow.learning.boosting import fit_trees
from cwolaflow.learning.checkpoints import Checkpoints
from cwolaflow.learning.fit import (
    choose_device,
    choose_precision,
    fit,
    predict_logits,
    reproducible,
)
from cwolaflow.learning.inputs import Inputs, Scaler
from cwolaflow.learning.mixtures import (
    TrainingSet,
    draw_mixtures,
    labelled_events,
    split_validation,
    thin,
)
from cwolaflow.learning.stacking import fit_stacked, logits_of_training_events
from cwolaflow.learning.torch_files import read_tensors, write_tensors
from cwolaflow.models import (
    StackedTrees,
    build_model,
    count_parameters,
    is_boosted,
    members_of,
)
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.folds import held_out_folds

HISTORY = {
    "fold": np.int64,
    "member": np.int64,
    "epoch": np.int64,
    "train_loss": np.float64,
    "valid_loss": np.float64,
    "valid_accuracy": np.float64,
    "valid_auc": np.float64,
}
"""Columns of a history."""

SEED_USES = ("mixture", "thinning", "validation", "weights", "training")


@dataclass(frozen=True)
class TrainedEnsemble:
    """Networks, and the folds that each of them has not seen.

    Attributes
    ----------
    models : list of torch.nn.Module
        On the CPU, in evaluation mode.
    scalers : list of dict of tensor
        Scale of the inputs of each model, found on its own training events.
    model_config : dict
        What `models.build_model` was given.
    input_shape : tuple of int
        Shape of one event's input.
    held_out : list of tuple of int
        Folds whose events each model may score.
    folds : int
        Number of folds of the events.
    """

    models: list[nn.Module]
    scalers: list[Scaler]
    model_config: dict[str, Any]
    input_shape: tuple[int, ...]
    held_out: list[tuple[int, ...]]
    folds: int

    def is_test(self, fold: np.ndarray) -> np.ndarray:
        """Say of each event, given its fold, whether a network may score it; bool, shape (n,)."""
        return np.isin(fold, [k for folds in self.held_out for k in folds])


class _Split(NamedTuple):
    """The draws of one network: all events offered to it, those kept, and how these divide."""

    seeds: dict[str, int]
    offered: TrainingSet
    thinned: TrainingSet
    train: TrainingSet
    valid: TrainingSet


def check_folds(events: pd.DataFrame, folds: int) -> None:
    """Refuse an event table whose folds are not 0 ... folds - 1.

    Raises
    ------
    InputError
        It has others.
    """
    fold = events["fold"].to_numpy()
    if folds < 2 or ((fold < 0) | (fold >= folds)).any():
        raise InputError(
            f"event table: its folds run from {fold.min()} to {fold.max()}, but {folds} are asked "
            "for (at least 2); make the event table again with 'select.folds'"
        )


def _training_sets(
    events: pd.DataFrame,
    supervision_config: dict[str, Any],
    luminosity_fb: float | None,
    held_out: list[tuple[int, ...]],
    seeds: list[int],
) -> list[TrainingSet]:
    """One set per network, before any training, so that too few events stop it at once."""
    offered = [~np.isin(events["fold"].to_numpy(), folds) for folds in held_out]
    if luminosity_fb is None:
        return [labelled_events(events, rows, supervision_config) for rows in offered]

    def draw(luminosity: float) -> list[TrainingSet]:
        return [
            draw_mixtures(events, rows, luminosity, supervision_config, seed)
            for rows, seed in zip(offered, seeds, strict=True)
        ]

    mixtures = draw(luminosity_fb)
    common = min(mixture.luminosity_fb for mixture in mixtures)
    # Networks of different luminosities would give scores of different quality by fold.
    return mixtures if common == luminosity_fb else draw(common)


def _fold_summary(events: pd.DataFrame, split: _Split) -> dict[str, int]:
    """Sizes of what one network was offered, trained and validated on."""
    drawn = split.offered
    is_m1 = drawn.labels == 1
    sizes = {"n_m1": int(is_m1.sum()), "n_m2": int((~is_m1).sum())}
    if drawn.luminosity_fb is not None:
        # After the draw, for the report alone.
        is_signal = events["label"].to_numpy()[drawn.rows] == 1
        sizes["n_m1_signal"] = int((is_signal & is_m1).sum())
        sizes["n_m2_signal"] = int((is_signal & ~is_m1).sum())
    return sizes | {"n_train": len(split.train.rows), "n_validation": len(split.valid.rows)}


def _mixture_summary(folds: list[dict[str, int]]) -> dict[str, int | float | None]:
    """Sizes of mixtures and training sets, averaged over networks, and signal fractions."""
    total = {name: sum(entry[name] for entry in folds) for name in folds[0]}
    summary = {name: round(total[name] / len(folds)) for name in ("n_m1", "n_m2", "n_train")}
    return summary | {
        f"f{m}": total[f"n_m{m}_signal"] / total[f"n_m{m}"] if "n_m1_signal" in total else None
        for m in (1, 2)
    }


def _splits(
    events: pd.DataFrame,
    training_config: dict[str, Any],
    supervision_config: dict[str, Any],
    luminosity_fb: float | None,
    seed: int,
    held_out: list[tuple[int, ...]],
    validation_fraction: float,
) -> list[_Split]:
    """What each network trains and validates on, drawn before any training."""
    seeds = [
        {use: derive_seed(seed, "fold", number, use) for use in SEED_USES}
        for number in range(len(held_out))
    ]
    training_sets = _training_sets(
        events,
        supervision_config,
        luminosity_fb,
        held_out,
        [fold_seeds["mixture"] for fold_seeds in seeds],
    )
    splits = []
    for fold_seeds, training in zip(seeds, training_sets, strict=True):
        max_events = training_config.get("max_events", len(training.rows))
        thinned = thin(training, max_events, fold_seeds["thinning"])
        train, valid = split_validation(thinned, validation_fraction, fold_seeds["validation"])
        splits.append(_Split(fold_seeds, training, thinned, train, valid))
    return splits


def _share_of_member(
    split: _Split, member: int, validation_fraction: float
) -> tuple[TrainingSet, TrainingSet, int]:
    """What a member of a committee trains and validates on, and its seed.

    Each but the first divides the events anew, so that together they learn from all of them.
    """
    if not member:
        return split.train, split.valid, split.seeds["training"]
    seeds = [derive_seed(split.seeds[use], "member", member) for use in ("validation", "training")]
    divided = split_validation(split.thinned, validation_fraction, seeds[0])
    return *divided, seeds[1]


def _check_initial(initial: TrainedEnsemble, model_config: dict[str, Any], inputs: Inputs) -> None:
    found = (initial.model_config, tuple(initial.input_shape))
    wanted = (model_config, tuple(inputs.input_shape))
    if found != wanted:
        raise InputError(
            f"transferred model: is {found[0]} for inputs of shape {found[1]}, but the classifier "
            f"is {wanted[0]} for {wanted[1]}; make them the same"
        )


def train_crossfit(
    events: pd.DataFrame,
    inputs: Inputs,
    classifier_config: dict[str, Any],
    supervision_config: dict[str, Any],
    luminosity_fb: float | None,
    seed: int,
    folds: int,
    validation_fraction: float,
    test_folds: Sequence[int] | None = None,
    initial: TrainedEnsemble | None = None,
    threads: int = 1,
    device: str = "auto",
    checkpoints: Checkpoints | None = None,
) -> tuple[TrainedEnsemble, pd.DataFrame, dict[str, Any]]:
    """Train one network per fold on events of the others, or one on events out of the test folds.

    Parameters
    ----------
    events : DataFrame
        Event table of all samples.
    inputs : Inputs
        Inputs of the same events, in the same order.
    classifier_config : dict
        ``model`` and ``training`` of the study's classifier, from `plan.classifier_settings`.
    supervision_config : dict
        For `mixtures.draw_mixtures`, or for `mixtures.labelled_events` where ``luminosity_fb``
        is None; what is in ``fine_tune`` replaces settings of the training.
    luminosity_fb : float or None
        Luminosity of the CWoLa mixtures in fb⁻¹; None trains on truth labels.
    seed : int
        Seed of the job: from `seeds.derive_seed` of the study's seed, classifier, supervision,
        luminosity and number of the repetition. Every fold derives its own.
    folds : int
    validation_fraction : float
        Share of the training events, of each label, that chooses the best epoch.
    test_folds : sequence of int, optional
        Folds that no network sees; the cross-fit leaves each fold out in turn.
    initial : TrainedEnsemble, optional
        Networks to train on, with their scalers, instead of new ones; network k starts from
        network k modulo their number.
    threads : int
        CPU threads; trees are fitted on one.
    device : str
        ``auto``, ``cpu`` or ``cuda``; trees are fitted on the CPU.
    checkpoints : Checkpoints, optional
        Where the networks leave their states, and go on from those that are there.

    Returns
    -------
    ensemble : TrainedEnsemble
    history : DataFrame
        ``fold`` (number of the network), ``epoch``, ``train_loss``, ``valid_loss``,
        ``valid_accuracy``, ``valid_auc``; of trees an epoch is an iteration.
    summary : dict
        For ``training.json``. ``n_m1`` and ``n_m2`` are the events with label 1 and 0 that a
        network has, averaged over networks; the numbers of each are under ``folds``, with those
        that ``training.max_events`` left to train (``n_train``) and to validate
        (``n_validation``). ``f1`` and ``f2`` are the shares of signal in all M1 and M2 that were
        drawn, None where supervised.

    Raises
    ------
    StatisticsError
        There are too few events.
    InputError
        The event table has other folds, or ``initial`` is another kind of network.
    """
    check_folds(events, folds)
    if initial is not None:
        _check_initial(initial, classifier_config["model"], inputs)
    held_out = held_out_folds(folds, test_folds)
    boosted = is_boosted(classifier_config["model"])
    training_config = classifier_config["training"] | supervision_config.get("fine_tune", {})
    network_config = training_config.get("scores_of", training_config)
    if boosted and network_config is training_config:
        device, threads = "cpu", 1
    where = choose_device(device)
    precision = choose_precision(network_config.get("precision", "float32"), where)
    splits = _splits(
        events,
        training_config,
        supervision_config,
        luminosity_fb,
        seed,
        held_out,
        validation_fraction,
    )
    models, scalers, histories, fold_summaries = [], [], [], []
    for fold, split in enumerate(splits):
        if initial is None:
            scaler = inputs.fit_scaler(split.train.rows)
            with reproducible(split.seeds["weights"], threads):
                model = build_model(classifier_config["model"], inputs.input_shape)
        else:
            start = fold % len(initial.models)
            scaler, model = initial.scalers[start], copy.deepcopy(initial.models[start])
        fitted = []
        for member, network in enumerate(members_of(model)):
            train, valid, training_seed = _share_of_member(split, member, validation_fraction)
            task = (network, inputs.scaled(scaler), train, valid, training_config, training_seed)
            description = f"network {fold + 1} of {len(splits)}"
            if member:
                description += f", member {member + 1}"
            if isinstance(network, StackedTrees):
                history = fit_stacked(
                    *task, validation_fraction, where, threads, description, checkpoints
                )
            elif boosted:
                history = fit_trees(*task, description)
            else:
                history = fit(*task, where, threads, description, checkpoints)
            network.cpu()
            fitted.append(history)
            epochs = history.epochs.copy()
            epochs.insert(0, "fold", fold)
            epochs.insert(1, "member", member)
            histories.append(epochs)
        models.append(model.eval())
        scalers.append(scaler)
        fold_summaries.append(
            _fold_summary(events, split)
            | {
                "best_epoch": round(np.mean([history.best_epoch for history in fitted])),
                "epochs": round(np.mean([len(history.epochs) for history in fitted])),
            }
        )
    summary = {
        "model": classifier_config["model"],
        "training": training_config,
        "parameters": count_parameters(models[0]),
        "notes": mixture_notes(supervision_config.get("mixture"), set(events["process"])),
        **_mixture_summary(fold_summaries),
        "signal_scale": supervision_config.get("signal_scale", 1.0),
        "luminosity_fb": luminosity_fb,
        "mixture_luminosity_fb": splits[0].offered.luminosity_fb,
        "folds": fold_summaries,
        "seed": seed,
        "device": where.type,
        "precision": str(precision).removeprefix("torch."),
        "threads": threads,
        "versions": {
            "cwolaflow": cwolaflow.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            **({"scikit-learn": version("scikit-learn")} if boosted else {}),
        },
    }
    ensemble = TrainedEnsemble(
        models, scalers, classifier_config["model"], inputs.input_shape, held_out, folds
    )
    return ensemble, pd.concat(histories, ignore_index=True), summary


def save_ensemble(path: str | Path, ensemble: TrainedEnsemble) -> None:
    """Write the networks and scalers; the file loads with ``weights_only=True``."""
    content = {
        "folds": [model.state_dict() for model in ensemble.models],
        "scalers": ensemble.scalers,
        "model": ensemble.model_config,
        "input_shape": list(ensemble.input_shape),
        "held_out": [list(folds) for folds in ensemble.held_out],
        "n_folds": ensemble.folds,
    }
    write_tensors(path, content)


def load_ensemble(path: str | Path) -> TrainedEnsemble:
    """Read what `save_ensemble` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged or another kind of file.
    """
    try:
        content = read_tensors(path)
        shape = tuple(content["input_shape"])
        models = [build_model(content["model"], shape).eval() for _ in content["folds"]]
        for model, state in zip(models, content["folds"], strict=True):
            model.load_state_dict(state)
        held_out = list(map(tuple, content["held_out"]))
        return TrainedEnsemble(
            models, content["scalers"], content["model"], shape, held_out, content["n_folds"]
        )
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing; run the training first") from error
    except Exception as error:  # damaged bytes make torch raise errors of many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: not readable as a trained model ({reason}); delete it and run again"
        ) from error


def score_crossfit(
    ensemble: TrainedEnsemble,
    inputs: Inputs,
    fold: np.ndarray,
    batch_size: int = 512,
    threads: int = 1,
    device: str = "auto",
) -> np.ndarray:
    """Score every test event with the networks that have not seen its fold.

    Parameters
    ----------
    ensemble : TrainedEnsemble
    inputs : Inputs
        Not scaled.
    fold : ndarray of int, shape (n_events,)
        Fold of each event.
    batch_size : int
        Bounds the memory.
    threads : int
        CPU threads.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    ndarray of float32, shape (n_events,)
        Signal probability of the network, in [0, 1]; the mean where several may score an event,
        and NaN where none may, see `TrainedEnsemble.is_test`.

    Raises
    ------
    InputError
        The inputs have another shape than those of the training, or the events other folds.
    """
    if tuple(inputs.input_shape) != tuple(ensemble.input_shape):
        raise InputError(
            f"model: was trained on inputs of shape {tuple(ensemble.input_shape)}, but these have "
            f"{tuple(inputs.input_shape)}; train it again"
        )
    if not np.isin(fold, np.arange(ensemble.folds)).all():
        raise InputError(
            f"model: has {ensemble.folds} folds, but the events have others; train it again"
        )
    where = choose_device(device)
    total, networks = np.zeros(len(fold)), np.zeros(len(fold), np.int64)
    with reproducible(0, threads):
        for model, scaler, folds in zip(
            ensemble.models, ensemble.scalers, ensemble.held_out, strict=True
        ):
            rows = np.flatnonzero(np.isin(fold, folds))
            logits = predict_logits(model.to(where), inputs.scaled(scaler), rows, batch_size, where)
            total[rows] += _probabilities(logits)
            networks[rows] += 1
            model.cpu()
    return np.where(networks > 0, total / np.maximum(networks, 1), np.nan).astype(np.float32)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).sigmoid().numpy()


def score_training_events(
    ensemble: TrainedEnsemble,
    events: pd.DataFrame,
    inputs: Inputs,
    training_config: dict[str, Any],
    supervision_config: dict[str, Any],
    luminosity_fb: float | None,
    seed: int,
    validation_fraction: float,
    max_events: int = 5000,
    threads: int = 1,
    device: str = "auto",
) -> list[pd.DataFrame]:
    """Score the events that each network was trained on, by that network.

    Of a committee, they are those that its first member was trained on. Trees on scores of
    networks read those with which they were trained.

    The arguments are those of `train_crossfit`, from which the draws follow again.

    Parameters
    ----------
    ensemble : TrainedEnsemble
    events : DataFrame
    inputs : Inputs
        Not scaled.
    training_config, supervision_config, luminosity_fb, seed, validation_fraction
        See `train_crossfit`.
    max_events : int
        Events of a network to score, drawn at random with the share of each label.
    threads : int
    device : str

    Returns
    -------
    list of DataFrame
        One a network: ``event_id``, ``label`` (truth), ``weight_fb``, ``training_label``,
        ``training_weight`` and ``score``.
    """
    where = choose_device(device)
    splits = _splits(
        events,
        training_config | supervision_config.get("fine_tune", {}),
        supervision_config,
        luminosity_fb,
        seed,
        ensemble.held_out,
        validation_fraction,
    )
    tables = []
    with reproducible(0, threads):
        for fold, (split, model, scaler) in enumerate(
            zip(splits, ensemble.models, ensemble.scalers, strict=True)
        ):
            seen = thin(split.train, max_events, derive_seed(seed, "fold", fold, "overtraining"))
            scaled = inputs.scaled(scaler)
            if isinstance(model, StackedTrees):
                logits = logits_of_training_events(
                    model, scaled, split.train, seen.rows, split.seeds["training"], where
                )
            else:
                logits = predict_logits(model.to(where), scaled, seen.rows, len(seen.rows), where)
            model.cpu()
            tables.append(
                events.iloc[seen.rows][["event_id", "label", "weight_fb"]].assign(
                    training_label=seen.labels,
                    training_weight=seen.weights,
                    score=_probabilities(logits),
                )
            )
    return tables
