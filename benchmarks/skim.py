"""Speed of the skim's selection against a per-event loop over the same arrays.

Usage: python benchmarks/skim.py [--repeat N] [FILE ...]

Prints the events per second of the whole skim (reading, cuts, writing), and of the cuts alone in
columns and in a plain Python loop that does the same selection; both must select the same events.
"""

import argparse
import math
import tempfile
import time
from itertools import combinations
from pathlib import Path

import awkward as ak
import numpy as np
import yaml

from cwolaflow.columns import SCALARS
from cwolaflow.delphes import DelphesFile
from cwolaflow.selection.preselection import Preselection
from cwolaflow.selection.skim import skim_files

ROOT = Path(__file__).resolve().parents[1]


def passes(event: dict) -> bool:
    """Apply the pre-selection of config/studies/hinv.yaml to one event, by hand."""
    jets = list(zip(*(event[f"jet_{q}"] for q in ("pt", "eta", "phi", "mass")), strict=True))
    if len(jets) < 2 or jets[0][0] <= 80 or jets[1][0] <= 40:
        return False
    for name, pt_min, eta_max in (("electron", 10, 2.5), ("muon", 10, 2.4), ("photon", 15, 2.5)):
        pairs = zip(event[f"{name}_pt"], event[f"{name}_eta"], strict=True)
        if any(pt > pt_min and abs(eta) < eta_max for pt, eta in pairs):
            return False
    for name, pt_min, eta_max in (("tau", 18, 2.3), ("b", 20, 2.5)):
        tagged = zip(jets, event[f"jet_{name}_tag"], strict=True)
        if any(tag and jet[0] > pt_min and abs(jet[1]) < eta_max for jet, tag in tagged):
            return False
    if event["missing_et"] <= 200:
        return False
    isolating = [jet for jet in jets if jet[0] > 30 and abs(jet[1]) < 4.7][:4]
    angles = [abs(math.remainder(event["missing_et_phi"] - jet[2], math.tau)) for jet in isolating]
    if not angles or min(angles) <= 0.5:
        return False
    (_, eta1, phi1, _), (_, eta2, phi2, _) = jets[:2]
    if max(abs(eta1), abs(eta2)) >= 4.7 or min(abs(eta1), abs(eta2)) >= 3 or eta1 * eta2 >= 0:
        return False
    if abs(math.remainder(phi1 - phi2, math.tau)) >= 1.5 or abs(eta1 - eta2) <= 1:
        return False
    square = sum(jet[3] ** 2 for jet in jets[:2])
    for (pt_a, eta_a, phi_a, m_a), (pt_b, eta_b, phi_b, m_b) in combinations(jets[:2], 2):
        energy_a = math.hypot(pt_a * math.cosh(eta_a), m_a)
        energy_b = math.hypot(pt_b * math.cosh(eta_b), m_b)
        along = math.cos(phi_a - phi_b) + math.sinh(eta_a) * math.sinh(eta_b)
        square += 2 * (energy_a * energy_b - pt_a * pt_b * along)
    return math.sqrt(square) > 200


def main() -> None:
    """Time both selections in one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=sorted(ROOT.glob("tests/data/delphes/*.root")))
    parser.add_argument("--repeat", type=int, default=10)
    arguments = parser.parse_args()
    study = yaml.safe_load((ROOT / "config/studies/hinv.yaml").read_text(encoding="utf-8"))
    skim, files = study["skim"], arguments.files * arguments.repeat

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        cutflow = skim_files(files, skim, Path(folder) / "skim.parquet")
        whole = time.perf_counter() - began

    began = time.perf_counter()
    for path in files:
        DelphesFile(path).close()
    opening = time.perf_counter() - began

    preselection = Preselection(skim)
    columns = sorted({*preselection.columns, "event_weight"})
    chunks = []
    for path in arguments.files:
        with DelphesFile(path) as file:
            chunks += [events for _, events in file.chunks(columns, skim["chunk_events"])]
    events = {
        name: ak.concatenate([c[name] for c in chunks] * arguments.repeat) for name in columns
    }
    n = cutflow["events"]

    for scalar in SCALARS.intersection(columns):
        events[scalar] = ak.to_numpy(events[scalar])

    began = time.perf_counter()
    in_columns = list(preselection.apply(events).values())[-1]
    columnar = time.perf_counter() - began

    began = time.perf_counter()
    one_by_one = [passes(event) for event in ak.Array(events).to_list()]
    loop = time.perf_counter() - began

    if not np.array_equal(in_columns, one_by_one):
        raise SystemExit("the two selections disagree")
    print(f"events                         {n}, {np.count_nonzero(in_columns)} pass")
    print(f"skim, opening to writing       {n / whole:12.0f} events/s")
    print(f"  of which opening a file      {1000 * opening / len(files):12.0f} ms")
    print(f"  skim without opening         {n / (whole - opening):12.0f} events/s")
    print(f"cuts alone, in columns         {n / columnar:12.0f} events/s")
    print(f"cuts alone, per-event loop     {n / loop:12.0f} events/s")
    print(f"columns over loop              {loop / columnar:12.1f}")


if __name__ == "__main__":
    main()
