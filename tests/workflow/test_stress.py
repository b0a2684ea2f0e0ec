"""Runs and jobs killed at any moment: a plain rerun ends as if nothing had happened."""

import os
import random
import signal
import time

import psutil
import pytest

from conftest import TINY, Project
from cwolaflow.config.study import merge

# `null` removes what the extended study has.
TINIER = TINY | {
    "classifiers": TINY["classifiers"] | {"cnn_pj_lr": None, "part": None},
    "represent": {"images": {"pj_lr": None}, "sets": {"particles": None}},
    "limits": {"shapes": dict.fromkeys(("m_jj_met250", "delta_eta_jj_met250", "delta_eta_jj"))},
}
TABLES = [f"results/tiny/summary/{name}.csv" for name in ("cutflow", "metrics", "limits")]
KILLS = ["group"] * 7 + ["run"] * 6 + ["job"] * 8


def tinier(folder, change=None):
    """A study whose tables take half a minute; trainings leave their state after every epoch."""
    project = Project(folder)
    project.write_study(merge(TINIER, change or {}))
    config = project.folder / "config/config.yaml"
    text = config.read_text()
    config.write_text(text.replace("checkpoint_interval_s: 60", "checkpoint_interval_s: 0"))
    return project


def jobs(run):
    """Processes of the run's jobs."""
    try:
        return [
            process
            for process in psutil.Process(run.pid).children(recursive=True)
            if any(".snakemake/scripts" in word for word in process.cmdline())
        ]
    except psutil.Error:
        return []


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_for(condition, run=None, seconds=120):
    """Wait until a condition holds, or the run is over."""
    end = time.monotonic() + seconds
    while not condition():
        if run is not None and run.poll() is not None:
            return
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def results(project):
    """What the run made, without benchmarks."""
    folder = project.folder / "results"
    wanted = ("summary/*.csv", "train/**/scores.parquet", "train/**/model.pt", "limits/**/*.json")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for pattern in wanted
        for path in folder.glob(f"tiny/{pattern}")
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    project = tinier(tmp_path_factory.mktemp("undisturbed"))
    project.run(*TABLES)
    return results(project)


def test_twenty_kills_and_a_plain_rerun_give_the_same_bytes(undisturbed, tmp_path):
    project = tinier(tmp_path)
    rng = random.Random(6)
    kills = rng.sample(KILLS, len(KILLS))
    run, hit = None, 0
    while hit < len(kills):
        if run is None or run.poll() is not None:
            if run is not None and run.returncode == 0:
                # All done before the last kill: there must be work for the next.
                (project.folder / "results/tiny/events/vbf_hinv.parquet").unlink()
            run = project.start(*TABLES)
        wait_for(lambda run=run: jobs(run), run)
        time.sleep(rng.uniform(0, 1.5))
        running = jobs(run)
        if not running or run.poll() is not None:
            continue
        if kills[hit] == "group":
            os.killpg(run.pid, signal.SIGKILL)
        else:
            victim = run if kills[hit] == "run" else rng.choice(running)
            victim.kill()
        if kills[hit] != "job":
            run.wait()
            # Jobs that outlive the run end themselves.
            wait_for(lambda running=running: not any(map(alive, running)), seconds=10)
        hit += 1
    run.wait()
    project.run(*TABLES)
    assert results(project) == undisturbed
    hidden = {path.name for path in (project.folder / "results").glob("**/.*")}
    # Snakemake's own, in folders that a job made.
    assert hidden <= {".snakemake_timestamp"}


def test_a_killed_training_goes_on(tmp_path):
    training = "train/ann_h/supervised/lumiall/seed0"
    results = {}
    for name in ("undisturbed", "killed"):
        long = {"ann_h": {"training": {"max_epochs": 300}}}
        project = tinier(tmp_path / name, {"classifiers": long})
        folder = project.folder / "results/tiny" / training
        target = f"results/tiny/{training}/model.pt"
        if name == "killed":
            run = project.start(target)
            wait_for(lambda folder=folder: list(folder.glob("unfinished/*.pt")), run)
            assert not (folder / "model.pt").exists()
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            assert list(folder.glob("unfinished/*.pt"))
        project.run(target)
        assert ("goes on after" in (project.folder / f"logs/tiny/{training}.log").read_text()) == (
            name == "killed"
        )
        assert not (folder / "unfinished").exists()
        results[name] = [(folder / file).read_bytes() for file in ("model.pt", "history.parquet")]
    assert results["killed"] == results["undisturbed"]


def test_two_runs_at_once_are_refused(undisturbed, tmp_path):
    project = tinier(tmp_path)
    first = project.start(TABLES[0])
    wait_for(lambda: jobs(first))
    second = project.snakemake("--cores", "1", TABLES[0])
    assert second.returncode != 0
    text = second.stdout + second.stderr
    assert "Directory cannot be locked" in text
    assert "Traceback" not in text
    assert first.wait() == 0
    assert results(project) == {key: undisturbed[key] for key in ["tiny/summary/cutflow.csv"]}
    assert not list((project.folder / ".snakemake/cwolaflow_runs").iterdir())
