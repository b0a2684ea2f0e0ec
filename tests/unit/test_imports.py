"""Start-up is paid once a job: no script imports what takes long and is not needed."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
SLOW = {
    "awkward",
    "fsspec",
    "jsonschema",
    "matplotlib",
    "numba",
    "pyhf",
    "scipy.special",
    "scipy.stats",
    "sklearn",
    "sympy",
    "torch",
    "uproot",
    "vector",
}
EVENTS = {"awkward", "fsspec"}
KINEMATICS = EVENTS | {"vector"}
DELPHES = EVENTS | {"uproot"}
FITS = {"pyhf", "scipy.special", "scipy.stats", "jsonschema"}
FIGURES = {"matplotlib"}
NEEDED = {
    "build_images": EVENTS,
    "build_jet_images": EVENTS,
    "build_pile_up_library": DELPHES,
    "build_sets": EVENTS,
    "check_overtraining": {"torch"},
    "count_yields": set(),
    "evaluate_classifier": {"torch"},
    "evaluate_systematic": {"torch"},
    "export_hepdata": {"jsonschema"},
    "merge_skim": set(),
    "normalise_sample": set(),
    "plot_areas": FIGURES,
    "plot_average_images": FIGURES | EVENTS,
    "plot_channels": FIGURES | EVENTS | {"torch"},
    "plot_controls": FIGURES,
    "plot_correlations": FIGURES,
    "plot_cutflow": FIGURES,
    "plot_event": FIGURES,
    "plot_feature": FIGURES,
    "plot_flavours": FIGURES,
    "plot_limits": FIGURES,
    "plot_pt_map": FIGURES | EVENTS | {"torch"},
    "plot_pulls": FIGURES,
    "plot_reweighting": FIGURES | KINEMATICS,
    "plot_roc": FIGURES,
    "plot_scores": FIGURES,
    "produce_part": DELPHES | KINEMATICS,
    "run_pseudo_experiments": FITS | {"torch"},
    "select_events": KINEMATICS,
    "set_score_limit": FITS,
    "set_shape_limit": FITS,
    "skim_events": DELPHES | KINEMATICS,
    "tabulate_correlations": set(),
    "tabulate_cutflow": set(),
    "tabulate_impacts": FITS,
    "tabulate_limits": set(),
    "tabulate_metrics": set(),
    "tabulate_overtraining": set(),
    "tabulate_pulls": FITS | {"torch"},
    "tabulate_separation": set(),
    "train_classifier": {"torch"},
    "write_provenance": set(),
}
"""What of `SLOW` each script imports."""


def imports_of(script: str) -> str:
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text(encoding="utf-8"))
    kept = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, kept))


def test_every_script_is_listed():
    assert NEEDED.keys() == {path.stem for path in SCRIPTS.glob("*.py")}


def alike() -> list[tuple[list[str], set[str]]]:
    """Scripts that need the same, together: an interpreter for each alone takes a minute."""
    groups = defaultdict(list)
    for script, needed in NEEDED.items():
        groups[frozenset(needed)].append(script)
    return [(scripts, set(needed)) for needed, scripts in groups.items()]


@pytest.mark.parametrize(
    ("scripts", "needed"), alike(), ids=lambda value: "-".join(sorted(value)) or "none"
)
def test_slow_imports(scripts, needed):
    code = "\n".join([*map(imports_of, scripts), "import sys", "print(*sys.modules)"])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert SLOW & set(run.stdout.split()) == needed
