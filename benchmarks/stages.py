"""CPU time, memory and disk of each stage of a finished study.

Usage: python benchmarks/stages.py STUDY [--folder FOLDER]

Reads what Snakemake measured of every job (benchmarks/results) and the sizes of what the jobs left
in results/. CPU time is that of the job with its children; memory is the largest resident size of
a job. On disk, parts that were deleted once they were merged do not count.
"""

import argparse
from pathlib import Path

import pandas as pd

BY_CLASSIFIER = ("train", "evaluate", "limits")


def stage_of(path: Path) -> tuple[str, str]:
    """Stage, and the sample, representation or training within it, of a benchmark file."""
    stage, *rest = path.with_suffix("").parts
    if stage in BY_CLASSIFIER and len(rest) > 2:
        supervision = next(part for part in rest[1:] if not part.startswith("lumi"))
        return stage, f"{rest[0]} {supervision}"
    if stage == "skim" and rest[0] == "parts":
        return stage, rest[1]
    return stage, rest[0] if len(rest) > 1 or stage in ("events", "skim") else ""


def measured(folder: Path) -> pd.DataFrame:
    """One row a job: stage, what, CPU seconds, largest resident size in MiB."""
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        numbers = pd.read_csv(path, sep="\t", na_values="-").iloc[-1]
        stage, what = stage_of(path.relative_to(folder))
        rows.append((stage, what, numbers["cpu_time"], numbers["max_rss"]))
    return pd.DataFrame(rows, columns=["stage", "what", "cpu", "rss"])


def disk(folder: Path) -> float:
    """Size of all files under a folder in MiB."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the study ran")
    options = parser.parse_args()
    benchmarks, results = options.folder / "benchmarks/results", options.folder / "results"
    jobs = pd.concat(
        [
            measured(benchmarks / "produce").assign(what=lambda t: t["stage"], stage="produce"),
            measured(benchmarks / options.study),
        ]
    )
    grouped = jobs.groupby(["stage", "what"], sort=False)
    table = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "CPU min": grouped["cpu"].sum() / 60,
            "largest MiB": grouped["rss"].max(),
        }
    )
    print(table.to_string(float_format="%.1f"))
    total = jobs.groupby("stage", sort=False)["cpu"].sum() / 60
    print(f"\n{'stage':16} {'CPU min':>8} {'disk MiB':>9}")
    for stage, minutes in total.items():
        place = results / "produce" if stage == "produce" else results / options.study / stage
        print(f"{stage:16} {minutes:8.1f} {disk(place):9.1f}")
    print(f"{'sum':16} {total.sum():8.1f}")


if __name__ == "__main__":
    main()
