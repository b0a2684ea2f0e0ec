"""Weights of gluon fusion at finite top mass, by what they are read at.

Usage: python benchmarks/top_mass_table.py [--study YAML] [--minutes M] [--seed N]

Gluon-fusion events are generated, pass the embedded detector and the pre-selection of the study.
For the selected ones prints, in bins of missing E_T and in all, the mean of the table's weights
read at missing E_T (as the workflow does) and at the true pT of the Higgs boson after the shower,
the mean ratio of amplitudes of the events' own hard processes, whose boson is softer where a second
jet recoils, and the statistical error of the first mean.
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
from cwolaflow.production.detector.particles import GeneratorEvents
from cwolaflow.production.filters import PartonFilter
from cwolaflow.production.generator import Generator
from cwolaflow.production.top_mass import event_ratios
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.reweighting import load_weight_table

ROOT = Path(__file__).resolve().parents[1]
HIGGS = 25
MAX_EVENTS = 10_000_000
BINS = (200, 250, 300, 350, 400, 500, 700, np.inf)
VARIABLES = ("m_jj", "delta_eta_jj")


def higgs_pt(events: GeneratorEvents) -> np.ndarray:
    """Transverse momentum of the last copy of the boson in each record, in GeV."""
    bosons = np.flatnonzero(events.pid == HIGGS)
    last = bosons[np.searchsorted(bosons, events.offsets[1:]) - 1]
    return np.hypot(events.px[last], events.py[last])


def selected_events(recipe: dict, study: dict, seconds: float, seed: int) -> pd.DataFrame:
    """Variables of the selected events, with ``hard`` and ``higgs_pt`` (GeV)."""
    event_filter = PartonFilter.from_config(recipe["filter"])
    generator = Generator(recipe["card"], recipe.get("settings", {}), event_filter, seed)
    detector = study["produce"]["detector"]
    card = read_card(detector["card"], detector.get("changes"))
    selected, start = [], time.process_time()
    for number, events in enumerate(generator.batches(MAX_EVENTS)):
        truth = pd.DataFrame({"hard": event_ratios(events), "higgs_pt": higgs_pt(events)})
        output = simulate(events, card, derive_seed(seed, "detector", number))
        table = pass_cuts(output, study["skim"])
        selected.append(table.join(truth))
        if time.process_time() - start > seconds:
            return pd.concat(selected, ignore_index=True)
    raise SystemExit(f"{MAX_EVENTS} events did not take {seconds:g} s")


def row(where: str, events: pd.DataFrame) -> None:
    """Print the means of one bin."""
    means = "".join(f"{events[name].mean():10.4f}" for name in ("read", "true_pt", "hard"))
    error = events["read"].std() / np.sqrt(len(events))
    print(f"{where:28} {len(events):7} {means}   {error:.4f}")


def main() -> None:
    """Generate, select, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=ROOT / "config/studies/hinv-medium.yaml")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    study = read_study(options.study)
    recipe = study["produce"]["samples"]["ggf_hinv"]
    table = load_weight_table(study["select"]["reweight"]["ggf_hinv"]["table"])
    events = selected_events(recipe, study, 60 * options.minutes, options.seed)
    for name, column in (("read", table.variable), ("true_pt", "higgs_pt")):
        events[name] = table.weights[table.bins(events[column].to_numpy())]
    print(f"{'selected events':28}  number    at MET at pT(H) hard proc.  error")
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
