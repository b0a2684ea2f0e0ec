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
    "pandas",
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
TABLES = {"pandas"}
FITS = TABLES | {"pyhf", "scipy.special", "scipy.stats", "jsonschema"}
NETWORKS = TABLES | {"torch"}
FIGURES = TABLES | {"matplotlib"}
NEEDED = {
    "build_images": EVENTS | TABLES,
    "build_jet_images": EVENTS | TABLES,
    "build_pile_up_library": DELPHES,
    "build_sets": EVENTS,
    "count_yields": TABLES,
    "evaluate_classifier": NETWORKS,
    "evaluate_systematic": NETWORKS,
    "export_hepdata": TABLES | {"jsonschema"},
    "merge_skim": set(),
    "normalise_sample": set(),
    "plot_areas": FIGURES,
    "plot_average_images": FIGURES | EVENTS,
    "plot_channels": FIGURES | EVENTS | NETWORKS,
    "plot_controls": FIGURES,
    "plot_correlations": FIGURES,
    "plot_cutflow": FIGURES,
    "plot_event": FIGURES,
    "plot_feature": FIGURES,
    "plot_flavours": FIGURES,
    "plot_limits": FIGURES,
    "plot_pt_map": FIGURES | EVENTS | NETWORKS,
    "plot_pulls": FIGURES,
    "plot_reweighting": FIGURES | KINEMATICS,
    "plot_roc": FIGURES,
    "plot_scores": FIGURES,
    "produce_part": DELPHES | KINEMATICS,
    "run_pseudo_experiments": FITS | NETWORKS,
    "select_events": TABLES | KINEMATICS,
    "set_score_limits": FITS,
    "set_shape_limits": FITS,
    "skim_events": DELPHES | KINEMATICS,
    "tabulate_correlations": TABLES,
    "tabulate_cutflow": TABLES,
    "tabulate_impacts": FITS,
    "tabulate_limits": TABLES,
    "tabulate_metrics": TABLES,
    "tabulate_overtraining": TABLES,
    "tabulate_pulls": FITS | NETWORKS,
    "tabulate_separation": TABLES,
    "train_classifier": NETWORKS,
    "write_provenance": TABLES,
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
