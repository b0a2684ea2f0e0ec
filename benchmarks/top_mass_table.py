"""Weights of a table in missing E_T against the weight that each event's own partons give.

Usage: python benchmarks/top_mass_table.py [--study YAML] [--sample NAME] [--minutes M] [--seed N]

Gluon-fusion events are generated, pass the embedded detector and the pre-selection of the study.
For the selected ones prints, in bins of missing E_T and in all, the mean of the exact ratio of
amplitudes and the mean of the table's weights, with the statistical error of their difference.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
from filter_bias import pass_cuts

from cwolaflow.config.study import read_study
from cwolaflow.production.detector import read_card, simulate
from cwolaflow.production.filters import PartonFilter
from cwolaflow.production.generator import Generator
from cwolaflow.production.top_mass import event_ratios
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.reweighting import load_weight_table

ROOT = Path(__file__).resolve().parents[1]
MAX_EVENTS = 10_000_000
BINS = (200, 250, 300, 350, 400, 500, 700, np.inf)
VARIABLES = ("m_jj", "delta_eta_jj")


def selected_events(recipe: dict, study: dict, seconds: float, seed: int) -> pd.DataFrame:
    """Variables of the selected events, with the exact ratio in column ``ratio``."""
    event_filter = PartonFilter.from_config(recipe["filter"])
    generator = Generator(recipe["card"], recipe.get("settings", {}), event_filter, seed)
    detector = study["produce"]["detector"]
    card = read_card(detector["card"], detector.get("changes"))
    selected, start = [], time.process_time()
    for number, events in enumerate(generator.batches(MAX_EVENTS)):
        ratio = event_ratios(events)
        output = simulate(events, card, derive_seed(seed, "detector", number))
        table = pass_cuts(output, study["skim"])
        selected.append(table.assign(ratio=ratio[table.index.to_numpy(dtype=int)]))
        if time.process_time() - start > seconds:
            return pd.concat(selected, ignore_index=True)
    raise SystemExit(f"{MAX_EVENTS} events did not take {seconds:g} s")


def row(where: str, events: pd.DataFrame) -> None:
    """Print the means of one bin."""
    difference = events["weight"] - events["ratio"]
    error = difference.std() / np.sqrt(len(events))
    print(
        f"{where:28} {len(events):7} {events['ratio'].mean():8.4f} {events['weight'].mean():8.4f} "
        f"{difference.mean():+9.4f} +- {error:.4f}"
    )


def main() -> None:
    """Generate, select, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=ROOT / "config/studies/hinv-medium.yaml")
    parser.add_argument("--sample", default="ggf_hinv")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    study = read_study(options.study)
    recipe = study["produce"]["samples"][options.sample]
    table = load_weight_table(study["select"]["reweight"]["ggf_hinv"]["table"])
    events = selected_events(recipe, study, 60 * options.minutes, options.seed)
    events["weight"] = table.weights[table.bins(events[table.variable].to_numpy())]
    print(f"{'selected events':28} {'number':>7} {'partons':>8} {'table':>8} {'difference':>10}")
    row("all", events)
    for low, high in itertools.pairwise(BINS):
        inside = events["missing_et"].between(low, high, inclusive="left")
        row(f"missing_et {low} to {high} GeV", events[inside])
    for variable in VARIABLES:
        above = events[variable] > events[variable].median()
        row(f"{variable} above its median", events[above])
        row(f"{variable} below its median", events[~above])


if __name__ == "__main__":
    main()
