"""The workflow through a real SLURM: that every job goes there, and what happens to those it kills.

The tests run in the order of the file, on one project.
"""

import re
from collections import Counter

import pytest

from conftest import STUDY, rule_of, wait_for
from cwolaflow.config.study import merge

LOCAL = {"all"}
NO_SUCH_VARIABLE = {"limits": {"shapes": {"m_jj": {"variable": "m_jjj"}}}}
ENDLESS = {"classifiers": {"ann_h": {"training": {"max_epochs": 10_000_000}}}}


def records(cluster, known=()):
    """Records of the jobs that were not known before."""
    return [job for job in cluster.jobs() if job["JobId"] not in known]


@pytest.fixture(scope="module")
def first_run(project):
    planned = project.planned()
    run = project.submit()
    assert run.returncode == 0, run.stdout + run.stderr
    return planned


def test_every_job_goes_through_slurm(project, cluster, first_run):
    jobs = records(cluster)
    assert Counter(map(rule_of, jobs)) == {
        rule: count for rule, count in first_run.items() if rule not in LOCAL
    }
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert (project.folder / "results/tiny/summary/limits.csv").exists()
    assert project.planned() == {}


def test_trainings_are_an_array(cluster, first_run):
    trainings = [job for job in records(cluster) if rule_of(job) == "train_classifier"]
    assert len(trainings) == 2
    assert len({job["ArrayJobId"] for job in trainings}) == 1
    assert {job["ArrayTaskId"] for job in trainings} == {"1", "2"}


def test_jobs_ask_for_what_the_profile_says(cluster, first_run):
    by_rule = {rule_of(job): job for job in records(cluster)}
    training, skim, table = (
        by_rule[rule] for rule in ("train_classifier", "skim_events", "tabulate_limits")
    )
    assert training["TimeLimit"] == "12:00:00"
    # One MB more for the list of an array's commands.
    assert training["MinMemoryNode"] == "4001M"
    assert skim["TimeLimit"] == "04:00:00"
    assert skim["MinMemoryNode"] == "2000M"
    assert table["TimeLimit"] == "01:00:00"
    assert table["MinMemoryNode"] == "2000M"
    assert {job["Partition"] for job in by_rule.values()} == {"main"}


def test_logs_of_finished_jobs_are_gone(project, first_run):
    # Those of an array are left to their age.
    left = {log.parent.name for log in (project.folder / "logs/slurm").rglob("*.log")}
    assert left == {"rule_train_classifier"}


@pytest.fixture(scope="module")
def killed_run(project, cluster, first_run):
    """Of two endless trainings one is cancelled, the other meets its time limit; one fit fails."""
    known = {job["JobId"] for job in cluster.jobs()}
    project.write_study(merge(STUDY, merge(ENDLESS, NO_SUCH_VARIABLE)))
    run = project.start_submission(
        *("--retries", "0", "--set-resources", "train_classifier:runtime=1")
    )
    try:

        def running():
            return [
                job
                for job in records(cluster, known)
                if rule_of(job) == "train_classifier" and job["JobState"] == "RUNNING"
            ]

        wait_for(lambda: len(running()) == 2, 120, "two trainings running")
        task = running()[0]
        cluster.command("scancel", f"{task['ArrayJobId']}_{task['ArrayTaskId']}")
        returncode = run.wait(timeout=600)
    finally:
        run.kill()
        project.write_study(STUDY)
    return returncode, (project.folder / "run.log").read_text(), records(cluster, known)


def test_killed_and_failed_jobs_are_reported(project, killed_run):
    returncode, log, jobs = killed_run
    assert returncode != 0
    states = {rule: set() for rule in map(rule_of, jobs)}
    for job in jobs:
        states[rule_of(job)].add(job["JobState"])
    assert states["train_classifier"] == {"CANCELLED", "TIMEOUT"}
    assert states["set_shape_limits"] == {"FAILED"}
    assert "status is: 'CANCELLED" in log
    assert "status is: 'TIMEOUT" in log
    assert len(re.findall(r"Error in rule train_classifier", log)) >= 2
    assert "Error in rule set_shape_limits" in log
    # The end of the failed job's own log names the mistake.
    assert "unknown variable 'm_jjj'" in log
    assert not list((project.folder / "results").rglob("model.pt"))


def test_a_plain_rerun_does_only_what_is_missing(project, cluster, killed_run):
    known = {job["JobId"] for job in cluster.jobs()}
    expected = project.planned()
    assert expected["train_classifier"] == 2
    assert not {"skim_events", "merge_skim", "select_events"} & set(expected)
    run = project.submit()
    assert run.returncode == 0, run.stdout + run.stderr
    assert Counter(map(rule_of, records(cluster, known))) == expected
    assert project.planned() == {}


def test_a_failed_job_comes_back_with_more_memory(project, cluster):
    known = {job["JobId"] for job in cluster.jobs()}
    profile = project.folder / "workflow/profiles/slurm/profile.v9+.yaml"
    text = profile.read_text(encoding="utf-8")
    asked = "set_shape_limits: {slurm_partition: gpu, gpu: 1, "
    profile.write_text(text.replace("set_shape_limits: {", asked), encoding="utf-8")
    project.write_study(merge(STUDY, NO_SUCH_VARIABLE))
    try:
        run = project.submit("results/tiny/limits/m_jj/limits.json", "--retries", "1")
    finally:
        project.write_study(STUDY)
        profile.write_text(text, encoding="utf-8")
    assert run.returncode != 0
    jobs = [job for job in records(cluster, known) if rule_of(job) == "set_shape_limits"]
    jobs.sort(key=lambda job: int(job["JobId"]))
    assert [job["MinMemoryNode"] for job in jobs] == ["2000M", "4000M"]
    # On the way: partition and GPU of a rule.
    assert {job["Partition"] for job in jobs} == {"gpu"}
    assert all("gres:gpu:1" in job.get("TresPerJob", "") for job in jobs)
