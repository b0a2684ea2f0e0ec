"""Training speed of the networks of vbf_ggf against the same networks in the plain style.

Usage: python benchmarks/training.py [--threads N] [--events N] [--epochs N] [--repeat N]
                                     [--precision auto] [--only part_with|cnn_with] [FILE ...]

The files are Delphes files of h -> gamma gamma (by default those that the tests carry), the first
of them VBF; their selected events are drawn with replacement. Both trainings start from the same
weights, see the same batches of 512 events and use the same optimiser. Plain is: sets padded to
all slots (402 with photons) with a table of scores, images in torch's default layout, float32, a
batch is made and then used. Ours is `learning.fit`. Prints events a second of both and their ratio
(median and range over repetitions, taken in turn), and the training loss of every epoch: the
curves agree but for rounding and dropout.
"""

import argparse
import copy
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from plain_networks import PlainEventCNN, PlainParticleTransformer
from torch.nn import functional

from cwolaflow.config.study import load_study
from cwolaflow.learning.fit import fit, reproducible
from cwolaflow.learning.mixtures import TrainingSet
from cwolaflow.models import build_model
from cwolaflow.representation.build_sets import build_sets
from cwolaflow.representation.rendering import RenderedImages
from cwolaflow.representation.sets import ParticleSets
from cwolaflow.selection.skim import skim_files

ROOT = Path(__file__).resolve().parents[1]
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


def main() -> None:
    """Time both networks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--events", type=int, default=2 * BATCH)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--only", choices=["part_with", "cnn_with"])
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    carried = ROOT / "tests/data/delphes_14tev"
    files = options.files or [carried / "vbf_haa.root", carried / "ggf_haa.root"]
    study = load_study(ROOT / "config/studies/vbf_ggf.yaml")
    with tempfile.TemporaryDirectory() as folder:
        sets, labels = write_sets(files, study, Path(folder))
        compare(sets, labels, study, options)


def compare(sets: list[Path], labels: np.ndarray, study: dict, options: argparse.Namespace) -> None:
    """Train both networks in both styles, and print."""
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(labels), options.events)
    train = TrainingSet(rows, labels[rows].astype(np.float32), np.ones(len(rows), np.float32))
    valid = train.take(np.arange(len(rows)) < 2)
    for name in ("part_with", "cnn_with"):
        if options.only not in (None, name):
            continue
        classifier = study["classifiers"][name]
        if name == "cnn_with":
            inputs = RenderedImages.read(
                sets, decay_products="with", **classifier["input"]["image"]
            )[0]
        else:
            inputs = ParticleSets.read(sets, decay_products="with")[0]
            particles = np.diff(inputs.offsets)
            print(f"{particles.mean():.0f} particles an event on average")
        settings = classifier["training"] | {
            "max_epochs": options.epochs,
            "precision": options.precision,
        }
        torch.manual_seed(1)
        fast = build_model(classifier["model"], inputs.input_shape)
        if name == "cnn_with":
            plain = PlainEventCNN(3)
        else:
            sizes = {key: value for key, value in classifier["model"].items() if key != "name"}
            plain = PlainParticleTransformer(*inputs.input_shape, **sizes)
        plain.load_state_dict(fast.state_dict())
        fit(copy.deepcopy(fast), inputs, valid, valid, settings, 1, threads=options.threads)
        times = {"plain": [], "ours": []}
        for _ in range(options.repeat):
            model = copy.deepcopy(plain)
            start = time.perf_counter()
            plain_losses = train_plainly(
                model,
                inputs,
                train,
                options.epochs,
                settings["learning_rate"],
                options.threads,
            )
            times["plain"].append(time.perf_counter() - start)
            model = copy.deepcopy(fast)
            start = time.perf_counter()
            history = fit(model, inputs, train, valid, settings, 1, threads=options.threads)
            times["ours"].append(time.perf_counter() - start)
        seen = options.epochs * options.events
        for style, taken in times.items():
            print(f"{name} {style}: {seen / statistics.median(taken):.0f} events/s")
        ratios = [a / b for a, b in zip(times["plain"], times["ours"], strict=True)]
        print(
            f"{name}: ratio {statistics.median(ratios):.1f} "
            f"({min(ratios):.1f} to {max(ratios):.1f}), {options.threads} threads"
        )
        print("loss, plain:", *(f"{loss:.4f}" for loss in plain_losses))
        print("loss, ours: ", *(f"{loss:.4f}" for loss in history.epochs["train_loss"]))


if __name__ == "__main__":
    main()
