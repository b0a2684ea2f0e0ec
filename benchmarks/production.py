"""How fast the embedded production is, and where its time goes, process by process.

Every process runs in a fresh Python process, so that the peak memory is its own. Writes a table
(``production.csv``): processor time in ms per event of PYTHIA (with the filter's losses and the
hand-over to arrays), of the detector with writing, events per second of both together, the peak
memory in MiB, and by how much that peak grows in the second half of the events. Of the dark jets
every published point is made. Exit status 1 if the detector is the larger part anywhere, memory
passes 1 GiB, or it grows with the number of events.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from cwolaflow.production.detector import GeneratorEvents, read_card, run_detector
from cwolaflow.production.filters import PartonFilter
from cwolaflow.production.generator import Generator
from cwolaflow.production.hidden_valley import DECAYS, dark_jet_settings

MAX_MEMORY_MIB = 1024
MAX_GROWTH = 0.1
DARK_SCALES = (1, 5, 10, 20, 30, 40, 50)
WARM_UP_EVENTS = 20


def peak_memory_mib() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def clocked(
    batches: Iterator[GeneratorEvents], spent: list[float], memory: list[float]
) -> Iterator[GeneratorEvents]:
    """Hand batches on; note the processor time that each took to make, and the peak memory."""
    while True:
        start = time.process_time()
        batch = next(batches, None)
        spent.append(time.process_time() - start)
        memory.append(peak_memory_mib())
        if batch is None:
            return
        yield batch


def measure(
    name: str, card: Path, settings: dict, detector_card: Path, filters: dict, events: int
) -> dict[str, float | str]:
    """Produce one sample and say what it cost."""
    generator = Generator(card, settings, PartonFilter.from_config(filters), seed=1)
    detector = read_card(detector_card)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "part.root"
        # Tables and compiled code are made at the first events.
        run_detector(output, generator.batches(WARM_UP_EVENTS), detector, 1)
        spent: list[float] = []
        memory: list[float] = []
        start = time.process_time()
        run_detector(output, clocked(generator.batches(events), spent, memory), detector, 1)
        total = time.process_time() - start
        size = output.stat().st_size
    pythia = sum(spent)
    return {
        "process": name,
        "events": events,
        "accepted_share": generator.cross_section.accepted / generator.cross_section.tried,
        "pythia_ms": 1000 * pythia / events,
        "detector_ms": 1000 * (total - pythia) / events,
        "detector_share": (total - pythia) / total,
        "events_per_second": events / total,
        "peak_memory_mib": peak_memory_mib(),
        "memory_growth": peak_memory_mib() / memory[len(memory) // 2] - 1,
        "file_kib_per_event": size / 1024 / events,
    }


def samples_of(card: Path) -> dict[str, dict]:
    """Settings by sample name."""
    if card.stem != "dark_jets":
        return {card.stem: {}}
    return {
        f"dark_jets_{scale}_{decay}": dark_jet_settings(scale, decay)
        for scale in DARK_SCALES
        for decay in DECAYS
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cards", type=Path, nargs="+", help="PYTHIA cards, without lhe.cmnd")
    parser.add_argument("--detector-card", type=Path, required=True)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--filter", type=json.loads, default={}, help="as JSON")
    parser.add_argument("--output", type=Path, default=Path("production.csv"))
    arguments = parser.parse_args()
    rows = []
    samples = [(name, card, s) for card in arguments.cards for name, s in samples_of(card).items()]
    for sample in samples:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            task = (*sample, arguments.detector_card, arguments.filter, arguments.events)
            rows.append(pool.apply(measure, task))
        print(pd.Series(rows[-1]).to_string(), flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(arguments.output, index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="%.3g"))
    good = (
        (table["detector_share"] < 0.5)
        & (table["peak_memory_mib"] < MAX_MEMORY_MIB)
        & (table["memory_growth"] < MAX_GROWTH)
    )
    return 0 if good.all() else 1


if __name__ == "__main__":
    sys.exit(main())
