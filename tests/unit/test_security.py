"""No code runs out of a config, a table or a model, and no name leaves the results folder."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from snakemake.common.configfile import load_configfile

from cwolaflow.config.samples import COLUMNS, load_samples
from cwolaflow.config.study import load_study
from cwolaflow.config.yaml import read_yaml
from cwolaflow.errors import ConfigError
from cwolaflow.production.detector.card import read_card

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "workflow"
PYTHON = sorted([*WORKFLOW.glob("cwolaflow/**/*.py"), *WORKFLOW.glob("scripts/*.py")])
RULES = sorted([ROOT / "Snakefile", *WORKFLOW.glob("rules/*.smk")])

# Modules that start programs or build objects from bytes.
MODULES = {
    "pty", "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "runpy",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"system", "popen", "read_pickle", "to_pickle", "query", "unsafe_load", "full_load"}
SAFE_LOADERS = {"SafeLoader", "CSafeLoader"}


def name_of(node: ast.expr) -> str:
    """Dotted name of a called function, or an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def safe_loaders(tree: ast.AST) -> set[str]:
    """Loaders of a module: those of PyYAML and classes derived from them."""
    found = {f"yaml.{name}" for name in SAFE_LOADERS}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and found & set(map(name_of, node.bases)):
            found.add(node.name)
    return found


def unsafe(code: str) -> list[str]:
    """What a module does that could run code out of a file."""
    tree = ast.parse(code)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            # Calls of `subprocess` are seen by its name only.
            found += [node.module] * ((node.module or "").split(".")[0] in MODULES | {"subprocess"})
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            method = name.rpartition(".")[2]
            # `self.query` is a layer of the particle transformer.
            if name in CALLS or ("." in name and method in METHODS and name != "self.query"):
                found.append(name)
            # `model.eval()` of torch has no argument.
            if "." in name and method == "eval" and node.args:
                found.append(name)
            if name == "torch.load" and ast.unparse(options.get("weights_only", node)) != "True":
                found.append(name)
            if name == "yaml.load" and (
                name_of(options.get("Loader", node)) not in safe_loaders(tree)
            ):
                found.append(name)
            # A program is named in the code, as the first word of a list.
            if name.startswith("subprocess.") and not (
                node.args
                and isinstance(node.args[0], ast.List)
                and isinstance(node.args[0].elts[0], ast.Constant)
            ):
                found.append(name)
            if {"shell", "allow_pickle"} & options.keys():
                found.append(f"{name}: shell or allow_pickle")
    return found


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(WORKFLOW)))
def test_no_module_runs_code_out_of_files(path):
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from subprocess import run",
        "subprocess.run(text)",
        "subprocess.run([program])",
        "eval(text)",
        "os.system(text)",
        "table.query(text)",
        "pandas.eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "class Mine(yaml.Loader): pass\nyaml.load(text, Loader=Mine)",
        "numpy.load(path, allow_pickle=True)",
        "run(text, shell=True)",
    ],
)
def test_the_scan_sees(code):
    assert unsafe(code)


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path, weights_only=True)",
        "class Mine(yaml.SafeLoader): pass\nyaml.load(text, Loader=Mine)",
        "model.eval()",
        "import subprocess\nsubprocess.run(['git', 'status'])",
    ],
)
def test_the_scan_passes(code):
    assert not unsafe(code)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_no_rule_has_a_shell_command(path):
    text = path.read_text(encoding="utf-8")
    directives = re.findall(r"^\s*(shell|run|wrapper|notebook|cwl)\s*:", text, re.M)
    calls = re.findall(r"\b(shell|eval|exec|os\.system|os\.popen|subprocess\.\w+)\s*\(", text)
    assert directives + calls == []


@pytest.mark.parametrize("read", [read_yaml, load_study, load_configfile, read_card])
@pytest.mark.parametrize("tag", ["object/apply:pathlib.Path.touch", "name:os.system"])
def test_yaml_makes_no_objects(read, tag, tmp_path):
    marker = tmp_path / "ran"
    path = tmp_path / "study.yaml"
    path.write_text(f"title: !!python/{tag} [{marker}]\n")
    with pytest.raises(Exception, match=r"could not determine a constructor|not.*YAML") as error:
        read(path)
    assert not isinstance(error.value, AssertionError)
    assert not marker.exists()


NAMES = [
    "../up", "/etc/passwd", "..", ".", "a/b", "a b", "{sample}", "a\n", "a\n../b", "a\x00", "-rf", "", "$(id)", "`id`", "a;b", "~",
]  # fmt: skip
IMAGE = {"reference": "leading_jet", "eta_bins": 9, "phi_bins": 9, "eta_range": [-5, 5], "phi_padding": 1}  # fmt: skip
SET = {"reference": "leading_jet", "max_towers": 9, "max_tracks": 9}
CLASSIFIER = {
    "input": {"features": ["kinematic"]},
    "model": {"name": "dense", "hidden": [3]},
    "training": {"optimiser": "adam", "learning_rate": 0.1, "batch_size": 3, "max_epochs": 1, "monitor": "loss"},
}  # fmt: skip
SHAPE = {"analysis": "m_jj", "variable": "m_jj", "range": [0, 1], "bins": 3, "met_cut_gev": 0}
PRODUCE = {"card": "resources/pythia/vbf_hinv.cmnd", "events": 10}
PROCESS = {"role": "signal", "label": "x", "colour": "#000000"}
PLACES = {
    "classifiers": CLASSIFIER,
    "represent.images": IMAGE,
    "represent.sets": SET,
    "represent.pile_up_libraries": {"files": ["a.root"]},
    "limits.shapes": SHAPE,
    "produce.samples": PRODUCE,
    "processes": PROCESS,
}


def study_with(folder: Path, change: dict, name: str = "mine.yaml") -> Path:
    path = folder / name
    base = {"extends": str(ROOT / "config/studies/hinv-mini.yaml")}
    path.write_text(yaml.safe_dump(base | change))
    return path


def refused(folder: Path, place: str, content: list | dict) -> None:
    """The study that has these names at a place is refused, and each is in the one line."""
    for key in reversed(place.split(".")):
        content = {key: content}
    with pytest.raises(ConfigError) as error:
        load_study(study_with(folder, content))
    message = str(error.value)
    assert "\n" not in message
    for name in NAMES:
        assert f"{name!r} does not match" in message


@pytest.mark.parametrize("place", PLACES)
def test_names_that_become_paths_are_plain(place, tmp_path):
    refused(tmp_path, place, dict.fromkeys(NAMES, PLACES[place]))


def test_features_to_draw_have_plain_names(tmp_path):
    refused(tmp_path, "plots.features", NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name.strip() == name])
def test_sample_names_are_plain(name, tmp_path):
    table = tmp_path / "samples.tsv"
    row = [name, "signal", "root://host//a.root", "1", "1", "1", "1"]
    table.write_text("\t".join(COLUMNS) + "\n" + "\t".join(row) + "\n")
    with pytest.raises(ConfigError):
        load_samples(table, ["signal"])


@pytest.mark.parametrize("name", ["a b.yaml", "..yaml", "-x.yaml", "{study}.yaml", "a\n.yaml"])
def test_study_files_have_plain_names(name, tmp_path):
    with pytest.raises(ConfigError, match="file name") as error:
        load_study(study_with(tmp_path, {}, name))
    assert "letters, digits" in str(error.value)


def test_extends_in_a_circle_is_refused(tmp_path):
    for name, base in {"a": "b", "b": "c", "c": "a"}.items():
        (tmp_path / f"{name}.yaml").write_text(f"extends: {base}.yaml\n")
    with pytest.raises(ConfigError, match="leads back to itself"):
        load_study(tmp_path / "a.yaml")
