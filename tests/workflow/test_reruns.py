"""What reruns after an edit: nothing more and nothing less. The cases are in reruns.py."""

import os
import re
import shlex
import subprocess

import pytest
from reruns import ALL, EDITS, PAGE, STAGES, Edit, page, study

from conftest import ROOT

TABLE = {"tabulate_limits": 1}
ADDITIONS = [edit for edit in EDITS if edit.new]
COMMANDS = [
    shlex.split(command, comments=True)
    for command in re.findall(r"^    (snakemake .*)$", PAGE.read_text(encoding="utf-8"), re.M)
]


def test_the_table_knows_all_jobs(finished):
    assert finished.planned("--forceall") == ALL


def test_nothing_reruns_without_an_edit(finished):
    assert finished.planned() == {}


@pytest.mark.parametrize("edit", EDITS, ids=[edit.name for edit in EDITS])
def test_an_edit_reruns_exactly(finished, edit: Edit):
    with edit.apply(finished):
        assert finished.planned() == edit.jobs


@pytest.mark.parametrize("edit", ADDITIONS, ids=[edit.name for edit in ADDITIONS])
def test_an_addition_adds_just_its_new_jobs(finished, edit: Edit):
    with edit.apply(finished):
        total = finished.planned("--forceall")
    assert total == edit.new | {rule: ALL[rule] + edit.new.get(rule, 0) for rule in ALL}


def test_a_new_date_of_a_file_reruns_nothing(finished):
    # Up to a megabyte: the content counts, not the date.
    table = finished.folder / "resources/published/hinv.yaml"
    status = table.stat()
    try:
        os.utime(table)
        assert finished.planned() == {}
    finally:
        os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_page_has_this_table():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/workflow/reruns.py"


@pytest.mark.parametrize(
    ("number", "change", "expected"),
    [
        (0, {"limits": {"luminosity_uncertainty": 0.05}}, STAGES["limit"] | TABLE),
        (1, {}, STAGES["figures"]),
        (2, {}, STAGES["limit"] | TABLE),
        (3, {}, {"train_classifier": 1, "evaluate_classifier": 1, "set_score_limits": 1}),
    ],
    ids=[" ".join(command[3:]) for command in COMMANDS],
)
def test_a_command_of_the_page_runs_just_its_part(finished, number, change, expected):
    """Each with an edit that asks for new figures too."""
    snakemake, *arguments = COMMANDS[number]
    assert snakemake == "snakemake"
    targets = [argument.replace("hinv-quick", "tiny") for argument in arguments]
    with study({"plots": {"dpi": 90}} | change)(finished):
        assert finished.planned(*targets) == expected


@pytest.mark.parametrize("target", ["limits", "figures"])
def test_make_gives_that_command(target):
    run = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    command = run.stdout.splitlines()[-1]
    assert command.endswith(f"snakemake --cores all {target}")
