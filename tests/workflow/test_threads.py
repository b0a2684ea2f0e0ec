"""A job computes with the threads of its rule, in every library, and no more."""

import json
import re
import subprocess
import sys

import pytest

from conftest import ROOT

SNAKEFILE = """
rule probe:
    output:
        "{threads}.json",
    threads: lambda wildcards: int(wildcards.threads)
    script:
        "probe.py"
"""
SCRIPT = """
import json
import numpy as np
import pyarrow
import torch
from threadpoolctl import threadpool_info

np.ones((200, 200)) @ np.ones((200, 200))
pools = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}
counts = {"torch": torch.get_num_threads(), "pyarrow": pyarrow.cpu_count(), **pools}
with open(snakemake.output[0], "w") as stream:
    json.dump(counts, stream)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_libraries_take_the_threads_of_the_job(tmp_path, threads):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "probe.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", f"{threads}.json"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    counts = json.loads((tmp_path / f"{threads}.json").read_text())
    assert {"torch", "pyarrow", "openblas", "openmp"} <= set(counts)
    assert set(counts.values()) == {threads}


def test_every_rule_runs_a_script_so_that_snakemake_sets_its_threads():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        assert len(re.findall(r"^rule ", text, re.M)) == len(re.findall(r"^ +script:$", text, re.M))
