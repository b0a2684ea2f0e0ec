"""One cluster and one project, and what the tests ask of them."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster import Cluster

ROOT = Path(__file__).parents[2]
# Both folders have a conftest.py: the other one goes by this name here.
_SPEC = importlib.util.spec_from_file_location(
    "workflow_conftest", ROOT / "tests/workflow/conftest.py"
)
_CONFTEST = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_CONFTEST)

# Quick to run: one network, one luminosity, two trainings.
STUDY = _CONFTEST.TINY | {
    "represent": {"images": {"pj_lr": None}, "sets": {"particles": None}},
    "classifiers": {
        "ann_h": {"training": {"max_epochs": 5}},
        "cnn_pj_lr": None,
        "part": None,
    },
    "limits": {"shapes": {"m_jj_met250": None, "delta_eta_jj_met250": None, "delta_eta_jj": None}},
    "plots": {"features": ["m_jj"]},
}
# This cluster is asked more often than one would ask another.
THIS_CLUSTER = (
    *("--profile", "workflow/profiles/slurm"),
    *("--slurm-init-seconds-before-status-checks", "2"),
    *("--latency-wait", "10"),
)


class SlurmProject(_CONFTEST.Project):
    """A copy of the workflow whose jobs go through a cluster."""

    def __init__(self, folder: Path, cluster: Cluster):
        self.cluster = cluster
        super().__init__(folder)
        self.write_study(STUDY)

    @property
    def environment(self) -> dict[str, str]:
        bin_folders = f"{self.cluster.environment['PATH']}:{Path(sys.executable).parent}"
        return super().environment | self.cluster.environment | {"PATH": bin_folders}

    def submit(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        return self.snakemake(*THIS_CLUSTER, *arguments, timeout=900, **options)

    def start_submission(self, *arguments: str) -> subprocess.Popen:
        with (self.folder / "run.log").open("w") as log:
            return subprocess.Popen(
                [*_CONFTEST.SNAKEMAKE, *THIS_CLUSTER, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def rule_of(job: dict[str, str]) -> str:
    """Rule of a SLURM record, from the comment that it was submitted with."""
    return job["Comment"].removeprefix("rule_").partition("_wildcards_")[0]


def wait_for(condition, seconds: float, what: str):
    """Wait until the condition gives something true, and give that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    os.umask(0o022)
    one = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="session")
def project(tmp_path_factory, cluster) -> SlurmProject:
    return SlurmProject(tmp_path_factory.mktemp("project"), cluster)
