"""Time of our expected limit against pyhf's generic upper limit, on one model in one run.

Run with ``python benchmarks/expected_limit.py``. The model has 12 bins and 6 processes with the
uncertainties that the workflow gives them. One thread each.
"""

import time

import numpy as np
import pyhf
from threadpoolctl import threadpool_limits

from cwolaflow.inference.binning import Templates
from cwolaflow.inference.limits import expected_limit
from cwolaflow.inference.workspace import build_workspace

BINS = 12
# Expected events, slope of the exponential spectrum, simulated events, cross-section uncertainty.
PROCESSES = {
    "z_qcd": (20000, -3.0, 40000, 0.05),
    "w_qcd": (15000, -3.2, 30000, 0.05),
    "z_ew": (1000, -1.0, 20000, 0.10),
    "w_ew": (800, -1.1, 20000, 0.10),
    "vbf_hinv": (1500, 1.0, 20000, 0.03),
    "ggf_hinv": (1800, -1.5, 20000, 0.08),
}
REPEATS = 5


def make_workspace() -> dict:
    """Build the workspace of the benchmark."""
    position = np.linspace(0, 1, BINS)
    templates = Templates(np.linspace(0, 1, BINS + 1), {}, {})
    for process, (expected, slope, simulated, _) in PROCESSES.items():
        shape = np.exp(slope * position)
        shape /= shape.sum()
        templates.counts[process] = expected * shape
        templates.variances[process] = expected**2 * shape / simulated
    return build_workspace(
        templates,
        signals=["vbf_hinv", "ggf_hinv"],
        channel="m_jj",
        poi="br_hinv",
        cross_section_uncertainty={name: entry[3] for name, entry in PROCESSES.items()},
        luminosity_uncertainty=0.025,
    )


def main() -> None:
    """Print times, their ratio, and the largest difference of the five limits."""
    spec = make_workspace()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        limit = expected_limit(spec)
        times.append(time.perf_counter() - start)
    ours = np.array(
        [
            limit.minus_2sigma,
            limit.minus_1sigma,
            limit.median,
            limit.plus_1sigma,
            limit.plus_2sigma,
        ]
    )

    pyhf.set_backend("numpy", "scipy")
    start = time.perf_counter()
    workspace = pyhf.Workspace(spec)
    model = workspace.model()
    with threadpool_limits(1):
        _, expected = pyhf.infer.intervals.upper_limits.upper_limit(workspace.data(model), model)
    generic_time = time.perf_counter() - start
    generic = np.array(expected)

    print(
        f"model                 {BINS} bins, {len(PROCESSES)} processes, "
        f"{model.config.npars} parameters"
    )
    print(f"expected_limit        {np.median(times):8.2f} s (median of {REPEATS})")
    print(f"pyhf upper_limit      {generic_time:8.2f} s")
    print(f"ratio                 {generic_time / np.median(times):8.1f}")
    print(f"ours                  {np.array2string(ours, precision=5)}")
    print(f"pyhf                  {np.array2string(generic, precision=5)}")
    print(f"largest difference    {np.max(np.abs(ours / generic - 1)):8.2e} relative")


if __name__ == "__main__":
    main()
