"""Start-up is paid once a job: no script imports what takes long and is not needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
TRAINED = ("train_classifier", "evaluate_classifier")
FITTED = ("set_shape_limit", "set_score_limit")
PREPARED = (
    "produce_part",
    "skim_events",
    "merge_skim",
    "normalise_sample",
    "select_events",
    "count_yields",
    "build_images",
    "build_jet_images",
    "build_sets",
)
DRAWN = ("plot_limits", "plot_roc", "plot_scores", "plot_feature", "plot_cutflow")
SLOW = {"torch", "numba", "sympy", "sklearn", "scipy.stats", "matplotlib", "pyhf"}


def imports_of(script: str) -> str:
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text(encoding="utf-8"))
    kept = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, kept))


@pytest.mark.parametrize(
    ("scripts", "needed"),
    [
        (TRAINED, {"torch"}),
        (FITTED, {"pyhf", "scipy.stats"}),
        (PREPARED, set()),
        (DRAWN, {"matplotlib"}),
    ],
    ids=["training", "limits", "preparation", "figures"],
)
def test_slow_imports(scripts, needed):
    code = "\n".join([*map(imports_of, scripts), "import sys", "print(*sys.modules)"])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert SLOW & set(run.stdout.split()) == needed
