"""The profiles against the rules: names that exist, resources for every job that computes."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = {
    name: body
    for path in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for name, body in re.findall(
        r"^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(encoding="utf-8"), re.M | re.S
    )
}
SLURM = yaml.safe_load((ROOT / "workflow/profiles/slurm/profile.v9+.yaml").read_text("utf-8"))


def megabytes(body: str) -> float:
    size = re.search(r'mem="(\d+)GB"', body)
    return 1000 * int(size[1]) if size else 0


def test_rules_of_the_slurm_profile_exist():
    arrays = SLURM["slurm-array-jobs"].replace(" ", "").split(",")
    assert {*SLURM["set-resources"], *arrays} <= set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_memory_and_time_on_slurm(rule):
    resources = SLURM["default-resources"] | SLURM["set-resources"].get(rule, {})
    base = at_attempt(resources["mem_mb"], 1)
    assert base >= megabytes(RULES[rule]), "less memory than the rule asks for on a workstation"
    assert at_attempt(resources["mem_mb"], 2) == 2 * base
    assert at_attempt(resources["runtime"], 1) > 0


def at_attempt(expression, attempt: int) -> int:
    """Value of ``2000`` or ``2000 * attempt``."""
    number, *factor = str(expression).split(" * ")
    assert factor in ([], ["attempt"])
    return int(number) * (attempt if factor else 1)
