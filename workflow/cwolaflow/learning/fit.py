"""One training: a network, its inputs, labels, and the choice of the best epoch."""

import contextlib
import copy
import functools
import itertools
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from cwolaflow.errors import ConfigError, CwolaflowError
from cwolaflow.learning.checkpoints import Checkpoints
from cwolaflow.learning.inputs import Inputs
from cwolaflow.learning.memory import keep_freed_memory
from cwolaflow.learning.mixtures import TrainingSet
from cwolaflow.learning.roc import accuracy, roc_auc
from cwolaflow.logs import progress
from cwolaflow.models import signal_logit
from cwolaflow.models.dropout import drawing_from, draws_by_piece
from cwolaflow.representation.augmentation import Augmentation, Copies
from cwolaflow.representation.constituents import ConstituentInputs
from cwolaflow.seeds import derive_seed

log = logging.getLogger(__name__)

OPTIMISERS = {"adam": torch.optim.Adam, "nadam": torch.optim.NAdam}

PIECE_NUMBERS = 400_000  # input numbers that go through a network at once
CACHED_EVENTS = 128  # sets whose hidden layers stay in the caches of a CPU

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": None}

# For each name: the column of the history, and the sign that makes larger better.
MONITORS = {"loss": ("valid_loss", -1), "accuracy": ("valid_accuracy", 1), "auc": ("valid_auc", 1)}


Part = TypeVar("Part")
Prepared = TypeVar("Prepared")
Over = Callable[..., Iterable[Any]]


@dataclass(frozen=True)
class History:
    """Course of a training.

    Attributes
    ----------
    epochs : DataFrame
        ``epoch`` (from 0), ``train_loss``, ``valid_loss``, ``valid_accuracy``, ``valid_auc``.
    best_epoch : int
        Epoch whose weights the network has now.
    """

    epochs: pd.DataFrame
    best_epoch: int


def choose_device(name: str = "auto") -> torch.device:
    """Choose where to train: ``auto`` is CUDA where there is a GPU, otherwise the CPU.

    Raises
    ------
    ConfigError
        CUDA is asked for and there is none, or the name is unknown.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"'device': {name!r} is unknown; choose from auto, cpu, cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("'device': cuda is asked for but torch sees no GPU; use auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def piece_events(inputs: Inputs) -> int:
    """Events that go through a network at once, so that images of any size fit into memory.

    A batch of larger size is done in pieces whose gradients add up; a convolutional network with
    64 filters holds some 2 kB per pixel of its first block, so 0.8 GB a piece. A network with batch
    normalisation is trained on whole batches: gradients of pieces would not add up to its gradient.
    """
    return max(1, PIECE_NUMBERS // math.prod(inputs.input_shape))


def _has_batch_statistics(model: nn.Module) -> bool:
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed torch and make it deterministic within the block; leave no trace after it.

    Parameters
    ----------
    seed : int
        Seed of torch's global generators: initial weights and dropout.
    threads : int
        CPU threads. Sums, and so results, can differ in the last digits between numbers of
        threads and between machines.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads_before = torch.get_num_threads()
    deterministic_before = torch.are_deterministic_algorithms_enabled()
    fill_before = torch.utils.deterministic.fill_uninitialized_memory
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Debugging aid that costs time and changes no result.
        torch.utils.deterministic.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)
            torch.use_deterministic_algorithms(deterministic_before)
            torch.utils.deterministic.fill_uninitialized_memory = fill_before


def choose_precision(name: str, device: torch.device | str) -> torch.dtype:
    """Choose the number format of the matrix products in a training.

    Parameters
    ----------
    name : str
        ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the device multiplies it faster
        (AMX, AVX512-BF16, CUDA from compute capability 8), otherwise float32. Emulated on another
        CPU bfloat16 is some 25 times slower.
    device : torch.device or str

    Returns
    -------
    torch.dtype

    Raises
    ------
    ConfigError
        The name is unknown.
    """
    if name not in PRECISIONS:
        raise ConfigError(
            f"'training.precision': {name!r} is unknown; choose from {', '.join(PRECISIONS)}"
        )
    if name != "auto":
        return PRECISIONS[name]
    if torch.device(device).type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        # Processors with AVX512-FP16 are made for AMX. Where a virtual machine hides it, what is
        # left multiplies bfloat16 at three quarters of the speed of float32.
        hides_amx = capabilities.get("avx512_fp16")
        fast = capabilities.get("amx_bf16") or (capabilities.get("avx512_bf16") and not hides_amx)
    return torch.bfloat16 if fast else torch.float32


def _computing_in(precision: torch.dtype, device: torch.device) -> torch.autocast:
    reduced = precision != torch.float32
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced)


def prepared(parts: Iterable[Part], prepare: Callable[[Part], Prepared]) -> Iterator[Prepared]:
    """Prepare parts in their order; with several CPU threads, each while its precursor is used.

    Parameters
    ----------
    parts : iterable
    prepare : callable
        Gives what depends on the part alone: the results are the same for any number of threads.

    Yields
    ------
    What ``prepare`` gives, one a part.
    """
    if torch.get_num_threads() == 1:
        yield from map(prepare, parts)
        return
    with ThreadPoolExecutor(1) as background:
        following = None
        for part in parts:
            current, following = following, background.submit(prepare, part)
            if current is not None:
                yield current.result()
        if following is not None:
            yield following.result()


@contextmanager
def _side_by_side(threads: int) -> Iterator[Over]:
    """Give a `map` that works in several threads."""
    if threads == 1:
        yield map
        return
    # The number of threads of a matrix product is set by the thread.
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool.map


def predict(
    model: nn.Module,
    read: Callable[..., torch.Tensor],
    inputs: Inputs,
    rows: np.ndarray,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    over: Over = map,
) -> np.ndarray:
    """Ask a network about some events, without training it.

    Parameters
    ----------
    model : torch.nn.Module
    read : callable
        Gives a tensor of n rows for the model and its arguments for n events.
    inputs : Inputs
        Already scaled.
    rows : ndarray of int64, shape (n_events,)
    batch_size : int
        Bounds the memory.
    device : torch.device
        Where the model is.
    precision : torch.dtype
    over : callable
        Calls a function for all parts of the events, in their order or side by side.

    Returns
    -------
    ndarray of float32, shape (n_events, ...)
    """
    model.eval()

    def ask(made):
        batch = made if over is map else inputs.batch(made)
        # Both contexts are those of a thread.
        with torch.inference_mode(), _computing_in(precision, device):
            return read(model, *(tensor.to(device) for tensor in batch)).float().cpu().numpy()

    chunks = _pieces(torch.from_numpy(rows), min(batch_size, piece_events(inputs)))
    # Side by side, a thread makes what it uses.
    made = prepared(chunks, inputs.batch) if over is map else chunks
    return np.concatenate(list(over(ask, made)))


def predict_logits(model: nn.Module, *arguments: Any, **options: Any) -> np.ndarray:
    """Give signal logits, shape (n,); the arguments are those of `predict` without ``read``."""
    return predict(model, lambda network, *x: signal_logit(network(*x)), *arguments, **options)


Example = tuple[tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor]
Slopes = tuple[torch.Tensor | None, ...]


def _slopes(
    model: nn.Module, example: Example, n_batch: int, precision: torch.dtype
) -> tuple[Slopes, torch.Tensor, torch.Tensor]:
    """Give the derivatives by the parameters, the loss and the weight of a piece of a batch."""
    arguments, labels, weights = example
    with _computing_in(precision, labels.device):
        logits = signal_logit(model(*arguments)).float()
    losses = weights * functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    slopes = torch.autograd.grad(losses.sum() / n_batch, parameters, allow_unused=True)
    return slopes, losses.detach().sum(), weights.sum()


def _pieces(chosen: torch.Tensor, largest: int) -> tuple[torch.Tensor, ...]:
    """Divide events into pieces of about the same size."""
    return chosen.tensor_split(max(1, -(-len(chosen) // largest)))


def _step(optimiser: torch.optim.Optimizer, model: nn.Module, pieces: list[Slopes]) -> None:
    """Take a step along the sum of the derivatives of all pieces."""
    parameters = (parameter for parameter in model.parameters() if parameter.requires_grad)
    for parameter, slopes in zip(parameters, zip(*pieces, strict=True), strict=True):
        parameter.grad = None if slopes[0] is None else functools.reduce(torch.add, slopes)
    optimiser.step()


def _train_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    training: Callable[[torch.Tensor], Example],
    batches: tuple[torch.Tensor, ...],
    piece: int,
    precision: torch.dtype,
    after_step: Callable[[], None],
    over: Over,
) -> float:
    model.train()
    loss_sum = weight_sum = 0.0
    pieces = [_pieces(chosen, piece) for chosen in batches]
    examples: Iterator[Any] = itertools.chain.from_iterable(pieces)
    if over is map:
        examples = prepared(examples, training)
    by_piece = draws_by_piece(model)

    def learn(example: Any, n_batch: int, seed: int | None):
        made = example if over is map else training(example)
        with contextlib.nullcontext() if seed is None else drawing_from(seed):
            return _slopes(model, made, n_batch, precision)

    for chosen, parts in zip(batches, pieces, strict=True):
        n = len(parts)
        seeds = torch.randint(2**62, (n,)).tolist() if by_piece else [None] * n
        learned = over(learn, itertools.islice(examples, n), itertools.repeat(len(chosen)), seeds)
        slopes, losses, weights = zip(*learned, strict=True)
        _step(optimiser, model, slopes)
        loss_sum += sum(losses)
        weight_sum += sum(weights)
        after_step()
    return float(loss_sum / weight_sum)


def validate(logits: np.ndarray, valid: TrainingSet) -> dict[str, float]:
    """Give weighted loss, accuracy and AUC of logits, shape (n,), as `History` names them."""
    losses = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits).double(),
        torch.from_numpy(valid.labels).double(),
        torch.from_numpy(valid.weights).double(),
        reduction="sum",
    )
    return {
        "valid_loss": float(losses) / float(valid.weights.sum(dtype=np.float64)),
        "valid_accuracy": accuracy(valid.labels, logits > 0, valid.weights),
        "valid_auc": roc_auc(valid.labels, logits, valid.weights),
    }


class _WeightAverage:
    """A copy of a network whose weights follow those of the network with a lag of some epochs."""

    def __init__(self, model: nn.Module, epochs: float, steps_per_epoch: int) -> None:
        self.model, self.lagging = model, copy.deepcopy(model)
        self.share = -math.expm1(-1 / (epochs * steps_per_epoch))
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the network; at first in a plain mean, which forgets the start."""
        self.steps += 1
        share = max(self.share, 1 / self.steps)
        current = self.model.state_dict().values()
        for lagging, value in zip(self.lagging.state_dict().values(), current, strict=True):
            if lagging.is_floating_point():
                lagging.lerp_(value, share)
            else:
                lagging.copy_(value)


class _Training:
    """What a training has reached, and all that its next epoch depends on."""

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        average: _WeightAverage | None,
        order: torch.Generator,
    ) -> None:
        self.model, self.optimiser, self.average, self.order = model, optimiser, average, order
        self.judged = model if average is None else average.lagging
        self.epochs: list[dict[str, float]] = []
        self.best_value, self.best_epoch = -math.inf, 0
        self.best_state = copy.deepcopy(self.judged.state_dict())

    def add(self, epoch: dict[str, float], value: float) -> None:
        """Take note of an epoch, and of the weights if ``value`` is the largest so far."""
        self.epochs.append(epoch)
        if value > self.best_value:
            self.best_value, self.best_epoch = value, len(self.epochs) - 1
            self.best_state = copy.deepcopy(self.judged.state_dict())

    def has_ended(self, patience: int | None) -> bool:
        """Say whether so many epochs have passed since the best one."""
        return patience is not None and len(self.epochs) - 1 - self.best_epoch >= patience

    def state(self) -> dict[str, Any]:
        """Give all of it, and the states of torch's global generators, for a file."""
        average, on_gpu = self.average, torch.cuda.is_initialized()
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if average is None else [average.lagging.state_dict(), average.steps],
            "order": self.order.get_state(),
            "generators": [torch.get_rng_state(), torch.cuda.get_rng_state() if on_gpu else None],
            "epochs": self.epochs,
            "best": [self.best_value, self.best_epoch, self.best_state],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state`` gave."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            lagging, self.average.steps = state["average"]
            self.average.lagging.load_state_dict(lagging)
        self.order.set_state(state["order"])
        generator, generator_of_gpu = state["generators"]
        torch.set_rng_state(generator)
        if generator_of_gpu is not None:
            torch.cuda.set_rng_state(generator_of_gpu)
        self.epochs = state["epochs"]
        self.best_value, self.best_epoch, self.best_state = state["best"]


def _augmentation(
    training_config: dict[str, Any], inputs: Inputs, seed: int
) -> Augmentation | None:
    if "augmentation" not in training_config:
        return None
    if not isinstance(inputs, ConstituentInputs):
        raise ConfigError(
            "'training.augmentation': only constituents can be changed; give the classifier an "
            "`input: {set: ...}` or remove the key"
        )
    return Augmentation(training_config["augmentation"], derive_seed(seed, "augmentation"))


def fit(
    model: nn.Module,
    inputs: Inputs,
    train: TrainingSet,
    valid: TrainingSet,
    training_config: dict[str, Any],
    seed: int,
    device: torch.device | str = "cpu",
    threads: int = 1,
    description: str = "training",
    checkpoints: Checkpoints | None = None,
) -> History:
    """Train a network by weighted binary cross-entropy and give it the weights of its best epoch.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place.
    inputs : Inputs
        Already scaled.
    train, valid : TrainingSet
        Rows of ``inputs``, labels and weights. The best epoch is the one with the best monitored
        quantity on ``valid``, the first of equals; every monitored quantity is weighted.
    training_config : dict
        ``optimiser`` (adam, nadam), ``learning_rate``, ``batch_size``, ``max_epochs``,
        ``monitor`` (loss, accuracy, auc) and optionally ``patience``, the epochs without a
        better one after which to stop, ``precision``, for `choose_precision`,
        ``average_epochs``, the epochs over which the weights that are validated and kept are
        averaged, exponentially (absent: they are the weights themselves), and ``augmentation``, for
        `Augmentation`: every epoch then has all examples of every event of ``train``; ``valid``
        stays as it is.
    seed : int
        Seed of the order of events, of dropout and of the augmentation.
    device : torch.device or str
    threads : int
        CPU threads. On a CPU a network that draws by the piece of a batch (`draws_by_piece`) does
        pieces side by side, with the same result for any number of threads.
    description : str
        For the progress bar and errors.
    checkpoints : Checkpoints, optional
        Where the training leaves its state now and then. If there is one, the training goes on
        from it, and ends as if it had never been interrupted.

    Returns
    -------
    History

    Raises
    ------
    CwolaflowError
        The loss is no longer a number.
    ConfigError
        Optimiser or monitor are unknown, or there is an augmentation of inputs that have none.
    """
    for key, known in (("optimiser", OPTIMISERS), ("monitor", MONITORS)):
        if training_config[key] not in known:
            raise ConfigError(
                f"'training.{key}': {training_config[key]!r} is unknown; "
                f"choose from {', '.join(known)}"
            )
    keep_freed_memory()
    column, sign = MONITORS[training_config["monitor"]]
    batch_size, patience = training_config["batch_size"], training_config.get("patience")
    device = torch.device(device)
    precision = choose_precision(training_config.get("precision", "float32"), device)
    piece = batch_size if _has_batch_statistics(model) else piece_events(inputs)
    side_by_side = 1
    if device.type == "cpu" and draws_by_piece(model) and batch_size > CACHED_EVENTS:
        piece, side_by_side = CACHED_EVENTS, threads
    model.to(device)
    optimiser = OPTIMISERS[training_config["optimiser"]](
        model.parameters(), lr=training_config["learning_rate"]
    )
    order = torch.Generator().manual_seed(seed)
    augmentation = _augmentation(training_config, inputs, seed)
    n_examples = 1 if augmentation is None else augmentation.n_examples
    rows, labels, weights = (
        torch.from_numpy(values).repeat(n_examples)
        for values in (train.rows, train.labels, train.weights)
    )
    example = np.repeat(np.arange(n_examples), len(train.rows))

    def batch(chosen: torch.Tensor):
        if augmentation is None:
            made = inputs.batch(rows[chosen])
        else:
            made = inputs.batch(rows[chosen], Copies(augmentation, example[chosen.numpy()]))
        arguments = tuple(tensor.to(device) for tensor in made)
        return arguments, labels[chosen].to(device), weights[chosen].to(device)

    n_batches = -(-len(rows) // batch_size)
    average = None
    if "average_epochs" in training_config:
        average = _WeightAverage(model, training_config["average_epochs"], n_batches)
    after_step = (lambda: None) if average is None else average.update
    training = _Training(model, optimiser, average, order)
    checkpoint = state = None
    if checkpoints is not None:
        checkpoint = checkpoints.of(
            [repr(model), training_config, seed, device.type, str(precision), threads],
            [x for part in (train, valid) for x in (part.rows, part.labels, part.weights)],
            model.state_dict().values(),
        )
        state = checkpoint.read()

    logits = None
    with reproducible(seed, threads // side_by_side), _side_by_side(side_by_side) as over:
        if state is not None:
            training.restore(state)
            log.info("%s: goes on after %d epochs", description, len(training.epochs))
        left = range(len(training.epochs), training_config["max_epochs"])
        for epoch in progress(left, description, unit="epoch"):
            if training.has_ended(patience):
                break
            batches = torch.randperm(len(rows), generator=order).split(batch_size)
            train_loss = _train_epoch(
                model, optimiser, batch, batches, piece, precision, after_step, over
            )
            logits = predict_logits(
                training.judged, inputs, valid.rows, batch_size, device, precision, over
            )
            if not (math.isfinite(train_loss) and np.isfinite(logits).all()):
                raise CwolaflowError(
                    f"{description}: the loss is not finite in epoch {epoch}; lower "
                    f"'training.learning_rate' ({training_config['learning_rate']:g})"
                )
            course = {"epoch": epoch, "train_loss": train_loss, **validate(logits, valid)}
            training.add(course, sign * course[column])
            if checkpoint is not None:
                checkpoint.write_if_due(training.state)
    if logits is not None and logits.min() == logits.max():
        log.warning(
            "%s: the output is the same for all events; lower 'training.learning_rate' (%g)",
            description,
            training_config["learning_rate"],
        )
    model.load_state_dict(training.best_state)
    log.info("%s: best epoch %d of %d", description, training.best_epoch, len(training.epochs))
    return History(pd.DataFrame(training.epochs), training.best_epoch)
