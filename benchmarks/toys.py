"""Expected median limit from toys against the asymptotic one, on one workspace.

Run with ``python benchmarks/toys.py results/STUDY/limits/ANALYSIS/workspaces/lumi36.json``.
"""

import argparse
import time

import numpy as np

from cwolaflow.inference.limits import expected_limit
from cwolaflow.inference.toys import toy_limit
from cwolaflow.inference.workspace import read_workspace


def main() -> None:
    """Print both limits, their difference and the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace")
    parser.add_argument("--toys", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    workspace = read_workspace(options.workspace)
    start = time.perf_counter()
    asymptotic = expected_limit(workspace).median
    middle = time.perf_counter()
    strengths = asymptotic * np.array([0.8, 0.9, 1.0, 1.1, 1.2])
    toys = toy_limit(workspace, strengths, options.toys, options.seed)
    end = time.perf_counter()
    print(f"asymptotic  {asymptotic:.4f}  in {middle - start:.1f} s")
    print(
        f"toys        {toys.median:.4f} ± {toys.error:.4f}  in {end - middle:.1f} s "
        f"({options.toys} toys a hypothesis and strength)"
    )
    print(f"ratio       {toys.median / asymptotic:.3f} ± {toys.error / asymptotic:.3f}")
    for strength, cls, error in zip(toys.strengths, toys.cls, toys.cls_error, strict=True):
        print(f"  CLs at {strength:.4f}: {cls:.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
