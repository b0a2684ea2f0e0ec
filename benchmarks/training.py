"""Training speed of the networks of vbf_ggf against the same networks in the plain style.

Usage: python benchmarks/training.py [--threads N] [--events N] [--epochs N] [--repeat N]
                                     [--precision NAME] [--only part_with|cnn_with]
                                     [--plain-memory] [FILE ...]

The files are Delphes files of h -> gamma gamma (by default those that the tests carry), the first
of them VBF; their selected events are drawn with replacement. Both trainings start from the same
weights, see the same batches of 512 events and use the same optimiser. Plain is: sets padded to
all slots (402 with photons) with a table of scores, images in torch's default layout, float32, a
batch is made and then used. Ours is `learning.fit`, in the precision of vbf_ggf-medium. Every
training has a process of its own; that of the plain networks has the allocator as it is, without
the huge pages and the kept memory of ours, unless told otherwise. An epoch before the clock
compiles, loads and allocates what is so once. Prints events a second of both and their ratio
(median and range over repetitions, taken in turn), and the training loss of every epoch: the
curves agree but for rounding and dropout.
"""

import argparse
import copy
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from plain_networks import PlainEventCNN, PlainParticleTransformer
from torch.nn import functional

from cwolaflow.config.study import load_study
from cwolaflow.learning.fit import fit, reproducible
from cwolaflow.learning.memory import keep_freed_memory
from cwolaflow.learning.mixtures import TrainingSet
from cwolaflow.models import build_model
from cwolaflow.representation.build_sets import build_sets
from cwolaflow.representation.rendering import RenderedImages
from cwolaflow.representation.sets import ParticleSets
from cwolaflow.selection.skim import skim_files

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / "config/studies/vbf_ggf-medium.yaml"
SLOTS = 402
BATCH = 512


def write_sets(files: list[Path], study: dict, folder: Path) -> tuple[list[Path], np.ndarray]:
    """Skim the files; give their sets in ``folder`` and, by event, whether it is of the first."""
    sets, labels = [], []
    for number, file in enumerate(files):
        skim, target = folder / f"{number}.parquet", folder / f"set{number}.parquet"
        skim_files([str(file)], study["skim"], skim)
        build_sets(skim, study["represent"]["sets"]["constituents"], target)
        sets.append(target)
        labels.append(len(ParticleSets.read([target], decay_products="with")[0]))
    return sets, np.repeat(np.arange(len(files)) == 0, labels)


def train_plainly(model, inputs, train, epochs, learning_rate, threads):
    """Give the training loss of every epoch."""
    losses = []
    order = torch.Generator().manual_seed(1)
    rows, labels = torch.from_numpy(train.rows), torch.from_numpy(train.labels)
    with reproducible(1, threads):
        optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
        model.train()
        for _ in range(epochs):
            total = 0.0
            for chosen in torch.randperm(len(rows), generator=order).split(BATCH):
                arguments = inputs.batch(rows[chosen])
                if len(arguments) == 2:
                    missing = SLOTS - arguments[0].shape[1]
                    arguments = (
                        functional.pad(arguments[0], (0, 0, 0, missing)),
                        functional.pad(arguments[1], (0, missing)),
                    )
                optimiser.zero_grad()
                loss = functional.binary_cross_entropy_with_logits(
                    model(*arguments)[:, 0], labels[chosen]
                )
                loss.backward()
                optimiser.step()
                total += loss.item() * len(chosen)
            losses.append(total / len(rows))
    return losses


def train(
    style: str, name: str, sets: list[Path], labels: np.ndarray, options: argparse.Namespace
) -> tuple[float, list[float]]:
    """Train a network in one style; give the seconds and the training loss of every epoch."""
    classifier = load_study(STUDY)["classifiers"][name]
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(labels), options.events)
    events = TrainingSet(rows, labels[rows].astype(np.float32), np.ones(len(rows), np.float32))
    # One event of each process, for a validation that takes no time.
    few = events.take(np.isin(np.arange(len(rows)), np.unique(labels[rows], return_index=True)[1]))
    if name == "cnn_with":
        inputs = RenderedImages.read(sets, decay_products="with", **classifier["input"]["image"])[0]
    else:
        inputs = ParticleSets.read(sets, decay_products="with")[0]
    settings = classifier["training"] | {"max_epochs": options.epochs}
    if options.precision is not None:
        settings["precision"] = options.precision
    torch.manual_seed(1)
    model = build_model(classifier["model"], inputs.input_shape)
    if style == "ours":
        once = settings | {"max_epochs": 1}
        fit(copy.deepcopy(model), inputs, events, few, once, 1, threads=options.threads)
        start = time.perf_counter()
        history = fit(model, inputs, events, few, settings, 1, threads=options.threads)
        return time.perf_counter() - start, list(history.epochs["train_loss"])
    if name == "cnn_with":
        plain = PlainEventCNN(3)
    else:
        sizes = {key: value for key, value in classifier["model"].items() if key != "name"}
        plain = PlainParticleTransformer(*inputs.input_shape, **sizes)
    plain.load_state_dict(model.state_dict())
    if options.plain_memory:
        keep_freed_memory()
    rate = settings["learning_rate"]
    train_plainly(copy.deepcopy(plain), inputs, events, 1, rate, options.threads)
    start = time.perf_counter()
    losses = train_plainly(plain, inputs, events, options.epochs, rate, options.threads)
    return time.perf_counter() - start, losses


def in_new_process(style: str, huge_pages: bool, *arguments) -> tuple[float, list[float]]:
    """Train in a process of its own, in which torch does or does not ask for huge pages."""
    os.environ["THP_MEM_ALLOC_ENABLE"] = str(int(huge_pages))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(train, style, *arguments).result()


def main() -> None:
    """Time both networks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--events", type=int, default=4 * BATCH)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--precision")
    parser.add_argument("--only", choices=["part_with", "cnn_with"])
    parser.add_argument("--plain-memory", action="store_true")
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    carried = ROOT / "tests/data/delphes_14tev"
    files = options.files or [carried / "vbf_haa.root", carried / "ggf_haa.root"]
    with tempfile.TemporaryDirectory() as folder:
        sets, labels = write_sets(files, load_study(STUDY), Path(folder))
        for name in ("part_with", "cnn_with"):
            if options.only in (None, name):
                compare(name, sets, labels, options)


def compare(name: str, sets: list[Path], labels: np.ndarray, options: argparse.Namespace) -> None:
    """Train a network in both styles, and print."""
    times, losses = {"plain": [], "ours": []}, {}
    for _ in range(options.repeat):
        for style, taken in times.items():
            huge_pages = style == "ours" or options.plain_memory
            seconds, losses[style] = in_new_process(style, huge_pages, name, sets, labels, options)
            taken.append(seconds)
    seen = options.epochs * options.events
    for style, taken in times.items():
        print(f"{name} {style}: {seen / statistics.median(taken):.0f} events/s")
    ratios = [a / b for a, b in zip(times["plain"], times["ours"], strict=True)]
    print(
        f"{name}: ratio {statistics.median(ratios):.1f} "
        f"({min(ratios):.1f} to {max(ratios):.1f}), {options.threads} threads"
    )
    for style, course in losses.items():
        print(f"loss, {style}:", *(f"{loss:.4f}" for loss in course))


if __name__ == "__main__":
    main()
