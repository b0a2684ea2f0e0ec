"""Samples that the workflow produces itself: parts, reruns and what they stand for."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from conftest import TINY, Project
from cwolaflow.config.study import merge

PRODUCE = {"produce": {"events_per_part": 20, "samples": {"vbf_hinv": {"events": 40}}}}
EVENTS = "results/tiny/events/vbf_hinv.parquet"


@pytest.fixture(scope="module")
def producing(tmp_path_factory):
    """A project of which one sample has no files, with that sample's event table made."""
    project = Project(tmp_path_factory.mktemp("producing"))
    table = project.folder / "config/samples/hinv-mini.tsv"
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    for row in rows:
        if row[0] == "vbf_hinv":
            row[2:] = ["", "", "1.067", "1", "1"]
    table.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    project.write_study(merge(TINY, PRODUCE))
    project.run(EVENTS)
    return project


def test_parts_are_independent_and_normalised_together(producing):
    folder = producing.folder / "results/produce/vbf_hinv"
    assert {path.name for path in folder.iterdir()} == {"0.root", "0.json", "1.root", "1.json"}
    parts = [json.loads((folder / f"{part}.json").read_text()) for part in (0, 1)]
    assert parts[0]["seed"] != parts[1]["seed"]
    assert all(part["tried"] > part["accepted"] == 20 for part in parts)
    tried = [part["tried"] for part in parts]
    expected = sum(part["sigma_pb"] * part["tried"] for part in parts) / sum(tried)
    path = producing.folder / "results/tiny/normalisation/vbf_hinv.json"
    assert json.loads(path.read_text())["cross_section_pb"] == pytest.approx(expected)
    cutflow = json.loads((producing.folder / "results/tiny/skim/vbf_hinv.cutflow.json").read_text())
    assert cutflow["events"] == 40


def test_a_lost_part_is_redone_alone_with_the_same_events(producing):
    target = "results/tiny/skim/parts/vbf_hinv/1.parquet"
    skim = producing.folder / target
    before = skim.read_bytes()
    for path in (skim, producing.folder / "results/produce/vbf_hinv/1.root"):
        path.unlink()
    assert producing.planned(target) == {"produce_part": 1, "skim_events": 1}
    producing.run(target)
    assert skim.read_bytes() == before


def killed_while_writing(project, part):
    """Start Snakemake for a part, and kill the job itself when its output file is begun."""
    folder = project.folder / "results/produce/vbf_hinv"
    run = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            "1",
            f"results/produce/vbf_hinv/{part}.root",
        ],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": str(project.folder / "workflow")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 60
    while not (begun := list(folder.glob(f".{part}-*.root"))):
        assert run.poll() is None and time.monotonic() < deadline, run.communicate()[0].decode()
        time.sleep(0.002)
    jobs = [
        job
        for job in psutil.Process(run.pid).children(recursive=True)
        if any("produce_part.py" in word for word in job.cmdline()[:3])
    ]
    assert jobs
    for job in jobs:
        job.send_signal(signal.SIGKILL)
    run.communicate()
    return run.returncode, begun


def test_a_killed_part_leaves_no_half_file_and_is_redone_alone(producing):
    folder = producing.folder / "results/produce/vbf_hinv"
    larger = {"produce": {"samples": {"vbf_hinv": {"events": 60}}}}
    producing.write_study(merge(merge(TINY, PRODUCE), larger))
    others = {path: path.stat().st_mtime_ns for path in folder.glob("[01].*")}
    code, begun = killed_while_writing(producing, 2)
    assert code != 0
    # What the job had begun stays under its hidden name; the part itself is not there.
    assert begun[0].exists()
    assert {path.name for path in folder.glob("[0-9]*")} == {path.name for path in others}
    target = "results/tiny/skim/parts/vbf_hinv/2.parquet"
    assert producing.planned(target) == {"produce_part": 1, "skim_events": 1}
    producing.run(target)
    producing.write_study(merge(TINY, PRODUCE))
    assert json.loads((folder / "2.json").read_text())["events"] == 20
    assert {path: path.stat().st_mtime_ns for path in others} == others
    for path in [*folder.glob("2.*"), *folder.glob(".2-*")]:
        path.unlink()


def test_more_events_add_parts_and_keep_the_others(producing):
    larger = {"produce": {"samples": {"vbf_hinv": {"events": 100}}}}
    producing.write_study(merge(merge(TINY, PRODUCE), larger))
    planned = producing.planned(EVENTS)
    producing.write_study(merge(TINY, PRODUCE))
    assert planned["produce_part"] == planned["skim_events"] == 3


def test_another_filter_produces_everything_anew(producing):
    looser = {"produce": {"samples": {"vbf_hinv": {"filter": {"invisible_pt_min": 100}}}}}
    producing.write_study(merge(merge(TINY, PRODUCE), looser))
    planned = producing.planned(EVENTS)
    producing.write_study(merge(TINY, PRODUCE))
    assert planned["produce_part"] == planned["skim_events"] == 2


def test_a_wrong_setting_is_named_and_leaves_no_file(producing):
    wrong = {"produce": {"samples": {"vbf_hinv": {"settings": {"Higgs:nonsense": "on"}}}}}
    producing.write_study(merge(merge(TINY, PRODUCE), wrong))
    run = producing.snakemake("--cores", "1", "results/produce/vbf_hinv/7.root")
    producing.write_study(merge(TINY, PRODUCE))
    assert run.returncode != 0
    (line,) = {
        line for line in (run.stdout + run.stderr).splitlines() if line.startswith("cwolaflow: ")
    }
    assert "Higgs:nonsense" in line
    assert not list((producing.folder / "results/produce/vbf_hinv").glob("*7*"))


LES_HOUCHES = """<LesHouchesEvents version="3.0">
<init>
2212 2212 6500 6500 0 0 247000 247000 3 1
25 0.1 1 1
</init>
{events}</LesHouchesEvents>
"""
GLUONS = """<event>
4 1 1.0 91.2 0.0078 0.118
21 -1 0 0 501 502 0 0 500 500 0 0 9
21 -1 0 0 503 501 0 0 -500 500 0 0 9
21 1 1 2 503 504 300 0 400 500 0 0 9
21 1 1 2 504 502 -300 0 -400 500 0 0 9
</event>
"""


def test_les_houches_files_are_showered_a_part_each(producing):
    text = LES_HOUCHES.format(events=3 * GLUONS)
    (producing.folder / "a.lhe").write_text(text)
    (producing.folder / "b.lhe.gz").write_bytes(gzip.compress(text.encode()))
    sample = {
        "card": "resources/pythia/lhe.cmnd",
        "events": None,
        "filter": None,
        "lhe": {"files": ["a.lhe", "b.lhe.gz"], "events_per_file": 3},
    }
    producing.write_study(TINY | {"produce": {"samples": {"vbf_hinv": sample}}})
    target = "results/tiny/normalisation/vbf_hinv.json"
    producing.run(target)
    producing.write_study(merge(TINY, PRODUCE))
    row = json.loads((producing.folder / target).read_text())
    assert row["cross_section_pb"] == pytest.approx(25)
    provenance = json.loads((producing.folder / "results/produce/vbf_hinv/1.json").read_text())
    assert provenance["les_houches_file"] == "b.lhe.gz"
    assert provenance["events"] == 3
