"""A copy of the project in which the tests run Snakemake, change files and run it again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--nocolor"]
TARGETS = {"all", "skims", "events", "models", "limits", "figures"}
TINY = {
    "extends": "hinv-mini.yaml",
    "luminosities_fb": [36],
    "select": {"folds": 2},
    "classifiers": {
        "ann_h": {"training": {"max_epochs": 5}},
        "cnn_pj_lr": {"training": {"max_epochs": 1}},
        "part": {"training": {"max_epochs": 2}},
    },
    "supervision": {"supervised": {"seeds": [0]}, "cwola": {"seeds": [123]}},
}


class Project:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("config", "workflow", "resources", "envs", "tests/data"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "Snakefile", folder)
        (folder / "profiles").symlink_to("workflow/profiles")
        self.write_study(TINY)
        config = folder / "config/config.yaml"
        config.write_text(config.read_text().replace("hinv-quick.yaml", "tiny.yaml"))

    def write_study(self, study: dict) -> None:
        (self.folder / "config/studies/tiny.yaml").write_text(yaml.safe_dump(study))

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder / "workflow"), "COLUMNS": "200"}

    def snakemake(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*SNAKEMAKE, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            **options,
        )

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start a run in a process group of its own; its output goes to ``run.log``."""
        with (self.folder / "run.log").open("a") as log:
            return subprocess.Popen(
                [*SNAKEMAKE, "--cores", "2", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run to the end; a failure shows Snakemake's output."""
        run = self.snakemake("--cores", "2", *arguments)
        assert run.returncode == 0, run.stdout + run.stderr
        return run

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs that a run would do, by rule, without target rules."""
        run = self.snakemake("--dry-run", *arguments)
        assert run.returncode == 0, run.stdout + run.stderr
        text = run.stdout + run.stderr
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total", text, re.S | re.M)
        if table is None:
            assert "Nothing to be done" in text
            return {}
        jobs = dict(line.split() for line in table[1].splitlines())
        return {rule: int(count) for rule, count in jobs.items() if rule not in TARGETS}


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """The tiny study, brought to the end once; tests that change it put it back."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.run()
    return project


@pytest.fixture
def fresh(tmp_path) -> Project:
    """A copy in which nothing has run."""
    return Project(tmp_path)
