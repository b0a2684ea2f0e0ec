"""What the shower filter of a study loses of the events that its pre-selection takes.

Events are generated with the filter's verdict noted but nobody dropped by the shower (the
parton-level cut does drop), pass the detector and the pre-selection of the study. Lost are the
selected events that the filter would have dropped. Writes ``filter_bias.csv``: the lost share, in
total and in thirds of each distribution, and whether lost and kept events follow the same
distribution (Kolmogorov-Smirnov). Exit status 1 if the lost share is above ``--max-lost``.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import beta, ks_2samp

from cwolaflow.config.study import read_study
from cwolaflow.errors import StatisticsError
from cwolaflow.production import generator as generator_module
from cwolaflow.production.detector import read_card, simulate, write_delphes
from cwolaflow.production.filters import FilterHook, PartonFilter, PhaseSpace
from cwolaflow.production.generator import BATCH_EVENTS, Generator
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.skim import skim_files
from cwolaflow.selection.skimmed import ENTRIES_PER_FILE, iterate_skim
from cwolaflow.selection.variables import VARIABLES, compute

SHAPES = ("missing_et", "m_jj", "delta_eta_jj", "jet1_pt", "jet2_pt")
MAX_EVENTS = 10_000_000
RESONANCE_SHOWERS = 5


class WatchingHook(FilterHook):
    """Notes what the shower filter says of each finished event and lets it pass."""

    def __init__(self, event_filter: PartonFilter, cuts: PhaseSpace):
        super().__init__(event_filter, cuts)
        self.verdicts: dict[tuple[float, float], bool] = {}
        self._verdict = False

    def canVetoProcessLevel(self):  # noqa: D102
        return True

    def doVetoProcessLevel(self, process):  # noqa: D102
        self._verdict = False
        self.note_decay(process)
        return not (self._cuts.accepts(process) and self._filter.accepts(process))

    def doVetoPT(self, position, event):  # noqa: D102
        # The showers of resonances come last, and the filter has no say in them.
        if position != RESONANCE_SHOWERS:
            self._verdict = not super().doVetoPT(position, event)
        return False

    def canVetoAfterHadronization(self):  # noqa: D102
        return True

    def doVetoAfterHadronization(self, event):  # noqa: D102
        # PYTHIA may make an event anew: the incoming partons name it, and the last verdict counts.
        self.verdicts[event[3].pz(), event[4].pz()] = self._verdict
        return False

    def _drops(self, accepted: bool, last: bool) -> bool:
        return not accepted


def pass_cuts(output: dict, skim: dict) -> pd.DataFrame:
    """Variables of ``SHAPES`` of the detector's events that pass; the index is their number."""
    variables = {name: VARIABLES[name] for name in SHAPES}
    columns = sorted({c for variable in variables.values() for c in variable.columns})
    with tempfile.TemporaryDirectory() as folder:
        path, passed = Path(folder) / "a.root", Path(folder) / "a.parquet"
        write_delphes(path, [output])
        skim_files([path], {"chunk_events": BATCH_EVENTS, **skim}, passed)
        tables = [
            pd.DataFrame(compute(variables, events), index=events["event_id"] % ENTRIES_PER_FILE)
            for events in iterate_skim(passed, ["event_id", *columns])
        ]
    return pd.concat(tables) if tables else pd.DataFrame(columns=list(SHAPES))


def selected_events(task: tuple) -> pd.DataFrame:
    """Selected events of one process, with the filter's verdict in column ``kept``."""
    name, recipe, detector, skim, wanted, seconds, seed = task
    generator_module.make_hook = WatchingHook
    event_filter = PartonFilter.from_config(recipe["filter"])
    cuts = PhaseSpace.from_config(recipe.get("parton_cuts"), recipe.get("lepton_cuts"))
    generator = Generator(recipe["card"], recipe.get("settings", {}), event_filter, seed, cuts)
    card = read_card(detector["card"], detector.get("changes"))
    selected, accepted, start = [], 0, time.process_time()
    for number, events in enumerate(generator.batches(MAX_EVENTS)):
        incoming = zip(
            events.pz[events.offsets[:-1] + 2], events.pz[events.offsets[:-1] + 3], strict=True
        )
        kept = np.array([generator._hook.verdicts[pair] for pair in incoming])
        generator._hook.verdicts.clear()
        accepted += sum(kept)
        table = pass_cuts(simulate(events, card, derive_seed(seed, "detector", number)), skim)
        selected.append(table.assign(kept=kept[table.index.to_numpy(dtype=int)]))
        if sum(map(len, selected)) >= wanted or time.process_time() - start > seconds:
            break
    result = pd.concat(selected).assign(process=name)
    generated = (number + 1) * BATCH_EVENTS
    share = accepted / generated
    print(f"{name}: {len(result)} selected of {generated}, filter keeps {share:.1%}", flush=True)
    if share == 1:
        raise StatisticsError(f"{name}: the filter keeps every event; nothing is measured")
    return result


def interval(lost: int, total: int) -> tuple[float, float]:
    """Central 68% interval of a share (Clopper and Pearson)."""
    low = beta.ppf(0.16, lost, total - lost + 1) if lost else 0.0
    high = beta.ppf(0.84, lost + 1, total - lost) if lost < total else 1.0
    return low, high


def lost_row(process: str, where: str, table: pd.DataFrame, p: float = np.nan) -> dict:
    """Share of lost events of a table."""
    lost = int((~table["kept"]).sum())
    low, high = interval(lost, len(table))
    return {
        "process": process,
        "where": where,
        "selected": len(table),
        "lost": lost,
        "share": lost / len(table),
        "low": low,
        "high": high,
        "ks_p": p,
    }


def rows_of(process: str, table: pd.DataFrame) -> list[dict]:
    """The lost share in total and in thirds of every distribution."""
    rows = [lost_row(process, "all", table)]
    lost = table[~table["kept"]]
    for name in SHAPES:
        p = ks_2samp(lost[name], table[name][table["kept"]]).pvalue if len(lost) else np.nan
        edges = np.quantile(table[name], [0, 1 / 3, 2 / 3, 1])
        for number in range(3):
            inside = (table[name] >= edges[number]) & (table[name] <= edges[number + 1])
            where = f"{name} {edges[number]:.3g}-{edges[number + 1]:.3g}"
            rows.append(lost_row(process, where, table[inside], p))
    return rows


def main() -> int:
    """Measure all samples of the study that have a shower filter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, default=Path("config/studies/hinv.yaml"))
    parser.add_argument("--selected", type=int, default=600, help="events to stop at, a sample")
    parser.add_argument("--seconds", type=float, default=300, help="processor time to stop at")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-lost", type=float, default=0.01)
    parser.add_argument("--output", type=Path, default=Path("results/filter_bias"))
    options = parser.parse_args()
    study = read_study(options.study)
    tasks = [
        (
            name,
            recipe,
            study["produce"]["detector"],
            study["skim"],
            options.selected,
            options.seconds,
            derive_seed(options.seed, name),
        )
        for name, recipe in study["produce"]["samples"].items()
        if "shower" in recipe.get("filter", {})
    ]
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=1) as pool:
        tables = pool.map(selected_events, tasks, chunksize=1)
    table = pd.concat(tables)
    rows = [row for name, part in table.groupby("process") for row in rows_of(name, part)]
    rows += rows_of("all", table)
    options.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.output / "selected.csv", index=False, float_format="%.6g")
    result = pd.DataFrame(rows)
    result.to_csv(options.output / "filter_bias.csv", index=False, float_format="%.4g")
    print(result.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    return int((~table["kept"]).mean() > options.max_lost)


if __name__ == "__main__":
    sys.exit(main())
