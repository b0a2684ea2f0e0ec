"""Whether networks trained on embedded production work on events of the real Delphes.

Usage: python benchmarks/domain_shift.py STUDY.yaml FILE.root ... [--results FOLDER]
                                         [--closure FOLDER] [--classifiers NAME ...]

The files are Delphes files of the study's samples; the name of a file is that of its sample, and
several files of one name add up. The networks are the finished supervised trainings of the study.
Prints, for every classifier:

selected
    AUC on the events of the files that pass the study's cuts, with the shares of the processes
    within their class that the study has, beside the AUC of the study's own events (each scored by
    a network that has not seen it). The errors are from a bootstrap over events.
identical
    With `--closure`: the same generator events through Delphes, through Delphes with other random
    numbers, and through the embedded detector; the AUC of VBF h -> inv against Z + jets with the
    jet cuts alone (more events). The differences are of the same generator events, so that most of
    the statistical error cancels; theirs is from a bootstrap over generator events.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from cwolaflow.config.samples import load_samples
from cwolaflow.config.study import load_study
from cwolaflow.files import read_json, read_tables
from cwolaflow.learning.crossfit import load_ensemble, score_crossfit
from cwolaflow.learning.inputs import load_inputs
from cwolaflow.learning.roc import roc_auc
from cwolaflow.learning.transfer import transfer
from cwolaflow.production.detector import read_card, read_generator_events, run_detector
from cwolaflow.representation.build_images import build_images
from cwolaflow.representation.build_sets import build_sets
from cwolaflow.representation.events import build_event_table
from cwolaflow.selection.skim import skim_files

DRAWS = 400
SMEARINGS = 8
CLOSURE = {"vbf_hinv": 1, "znunu_qcd": 0}
APART = 10**6
"""Between the event numbers of the two samples, which both count from 0."""


class Sample:
    """Events of one sample that pass cuts, with what the classifiers of a study read."""

    def __init__(self, name, process, label, files, study, folder):
        folder.mkdir()
        self._represent, self._folder = study["represent"], folder
        self._skim = folder / "skim.parquet"
        cutflow = skim_files([str(file) for file in files], study["skim"], self._skim)
        row = {"sample": name, "process": process, "cross_section_pb": 1.0, "k_factor": 1.0}
        row |= {"branching_fraction": 1.0, "filter_efficiency": 1.0}
        role = ("background", "signal")[label]
        self.events = build_event_table(
            self._skim, cutflow, row, role, study["select"], study["seed"]
        )

    def representation(self, source) -> list[Path]:
        """Files that a classifier's input needs."""
        for kind, build in (("image", build_images), ("set", build_sets)):
            if kind in source:
                target = self._folder / f"{kind}_{source[kind]}.parquet"
                if not target.exists():
                    build(self._skim, self._represent[f"{kind}s"][source[kind]], target)
                return [target]
        return []


def scores(samples, ensemble, training, source) -> np.ndarray:
    """Mean score of all networks of a training, none of which has seen these events."""
    events = pd.concat([sample.events for sample in samples], ignore_index=True)
    files = [file for sample in samples for file in sample.representation(source)]
    ensemble, _, _ = transfer(ensemble, training, ensemble.folds)
    inputs = load_inputs(source, events, files)
    return score_crossfit(ensemble, inputs, events["fold"].to_numpy(), threads=2)


def bootstrap(groups: list[np.ndarray], statistic, seed: int) -> float:
    """Standard deviation of a statistic of row numbers, drawn anew within each group."""
    random = np.random.default_rng(seed)
    draws = [
        statistic(np.concatenate([random.choice(group, len(group)) for group in groups]))
        for _ in range(DRAWS)
    ]
    return float(np.std(draws, ddof=1))


def area(events: pd.DataFrame, score: np.ndarray) -> tuple[float, float]:
    """Weighted AUC and its error from a bootstrap within each process."""
    label, weight = events["label"].to_numpy(), events["weight_fb"].to_numpy()
    process = events["process"].to_numpy()

    def of(rows):
        return roc_auc(label[rows], score[rows], weight[rows])

    groups = [np.flatnonzero(process == name) for name in np.unique(process)]
    return of(np.arange(len(events))), bootstrap(groups, of, seed=1)


def compare_selected(samples: list[Sample], own: pd.DataFrame, score: np.ndarray) -> dict:
    """AUC on events of the files beside that on the study's own."""
    events = pd.concat([sample.events for sample in samples], ignore_index=True)
    share = own.groupby("process")["weight_fb"].sum()
    count = events["process"].map(events["process"].value_counts())
    events["weight_fb"] = events["process"].map(share) / count
    (real, error), (embedded, own_error) = area(events, score), area(own, own["score"].to_numpy())
    return {
        "embedded": embedded,
        "embedded_error": own_error,
        "real": real,
        "real_error": error,
        "real - embedded": real - embedded,
        "error": float(np.hypot(error, own_error)),
    }


def closure_samples(folder: Path, study: dict, card: Path, temporary: Path) -> dict:
    """The samples of each simulation of the same generator events, with the jet cuts alone."""
    jets_only = study | {"skim": study["skim"] | {"cuts": study["skim"]["cuts"][:1]}}
    simulations = defaultdict(list)
    for name, label in CLOSURE.items():
        (other,) = folder.glob(f"{name}_*_seed*.root")
        (real,) = set(folder.glob(f"{name}_*.root")) - {other}
        (generator,) = folder.glob(f"{name}_*.generator.parquet")
        files = {"delphes": real, "delphes, other seed": other}
        for smearing in range(SMEARINGS):
            files[f"embedded {smearing}"] = temporary / f"{name}_{smearing}.root"
            generated = read_generator_events(generator, 1000)
            run_detector(files[f"embedded {smearing}"], generated, read_card(card), 100 + smearing)
        for simulation, file in files.items():
            place = temporary / f"{name}_{simulation}".replace(" ", "_")
            simulations[simulation].append(Sample(name, name, label, [file], jets_only, place))
    return simulations


def compare_identical(simulations: dict, scored: dict) -> dict:
    """AUC of all simulations of the same events, and paired differences from Delphes."""
    tables = {
        name: pd.concat([sample.events for sample in samples], ignore_index=True)
        for name, samples in simulations.items()
    }
    # The number of an event is its place in the file.
    generated = {
        name: table["event_id"].to_numpy() + APART * table["label"].to_numpy(np.int64)
        for name, table in tables.items()
    }
    own = [name for name in tables if name.startswith("embedded")]

    def areas(copies):
        return {
            name: roc_auc(table["label"].to_numpy(), scored[name], copies[generated[name]])
            for name, table in tables.items()
        }

    def differences(copies):
        auc = areas(copies)
        mean = np.mean([auc[name] for name in own])
        return np.array([mean - auc["delphes"], auc["delphes, other seed"] - auc["delphes"]])

    seen = np.unique(np.concatenate(list(generated.values())))
    numbers = [seen[seen // APART == label] for label in CLOSURE.values()]
    ones = np.ones(2 * APART)
    random = np.random.default_rng(2)
    drawn = []
    for _ in range(DRAWS):
        copies = np.zeros_like(ones)
        for group in numbers:
            np.add.at(copies, random.choice(group, len(group)), 1.0)
        drawn.append(differences(copies))
    auc, (ours, yardstick) = areas(ones), differences(ones)
    errors = np.std(drawn, axis=0, ddof=1)
    return {
        "delphes": auc["delphes"],
        "embedded - delphes": ours,
        "error": errors[0],
        "other seed - delphes": yardstick,
        "its error": errors[1],
    }


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--results", type=Path, help="default: results/STUDY")
    parser.add_argument("--closure", type=Path, help="folder with the closure files")
    parser.add_argument("--card", type=Path, default=Path("resources/detector/cms.yaml"))
    parser.add_argument("--classifiers", nargs="+", help="default: all that are trained")
    options = parser.parse_args()
    study = load_study(options.study)
    results = options.results or Path("results") / study["name"]
    produced = study.get("produce", {}).get("samples", {})
    table = load_samples(study["samples"], study["processes"], produced)
    processes = {name: sample.process for name, sample in table.items()}
    roles = {name: settings["role"] for name, settings in study["processes"].items()}
    files = defaultdict(list)
    for file in options.files:
        files[file.stem].append(file)
    trained = results.glob("train/*/supervised/lumiall/seed*/metrics.json")
    trainings = {path.parts[-5]: path.parent for path in sorted(trained)}
    selected, identical = [], []
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        samples = [
            Sample(
                name,
                processes[name],
                int(roles[processes[name]] == "signal"),
                paths,
                study,
                temporary / name,
            )
            for name, paths in files.items()
        ]
        print({sample.events["sample"][0]: len(sample.events) for sample in samples}, "selected")
        simulations = {}
        if options.closure:
            simulations = closure_samples(options.closure, study, options.card, temporary)
        for name in options.classifiers or trainings:
            training = trainings[name]
            ensemble = load_ensemble(training / "model.pt")
            summary = read_json(training / "training.json")
            source = study["classifiers"][name]["input"]
            own = read_tables([training / "scores.parquet"])
            score = scores(samples, ensemble, summary, source)
            selected.append({"classifier": name} | compare_selected(samples, own, score))
            if simulations:
                scored = {
                    simulation: scores(parts, ensemble, summary, source)
                    for simulation, parts in simulations.items()
                }
                identical.append({"classifier": name} | compare_identical(simulations, scored))
    for title, rows in (("selected", selected), ("identical", identical)):
        if rows:
            print(title, pd.DataFrame(rows).to_string(index=False, float_format="%.3f"), sep="\n")


if __name__ == "__main__":
    main()
