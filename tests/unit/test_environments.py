"""The conda environment and the container agree with the lock and with the repository."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", re.M)
LOCK = dict(PIN.findall((ROOT / "requirements.lock").read_text(encoding="utf-8")))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MINIMUM = re.match(r">=(\d+)\.(\d+)", PROJECT["requires-python"])


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, without comments and continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def copied() -> list[str]:
    """Files and folders of the repository that the image gets."""
    arguments = [value.split() for name, value in instructions() if name == "COPY"]
    return [source for *sources, _ in arguments for source in sources]


def test_every_rule_that_runs_a_script_has_an_environment_in_step_with_the_lock():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    named = re.findall(r'conda:\n +"\.\./\.\./(.+)"', rules)
    assert len(named) == len(re.findall(r"^ +script:$", rules, re.M)) > 0
    direct = {re.match(r"[A-Za-z0-9_-]+", name)[0] for name in PROJECT["dependencies"]}
    for name in set(named):
        environment = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        python, pip, pins = environment["dependencies"]
        assert at_least_the_minimum(python.removeprefix("python="))
        assert pip == "pip"
        assert dict(pin.split("==") for pin in pins["pip"]) == {key: LOCK[key] for key in direct}


def at_least_the_minimum(version: str) -> bool:
    return tuple(map(int, version.split("."))) >= tuple(map(int, MINIMUM.groups()))


def test_the_image_starts_from_a_python_that_the_project_takes():
    ((_, image),) = [line for line in instructions() if line[0] == "FROM"]
    assert at_least_the_minimum(re.fullmatch(r"python:(\d+\.\d+)-slim", image)[1])


def test_the_image_installs_the_lock_and_then_the_project_without_dependencies():
    installs = re.findall(
        r"pip install ([^&]+)", " && ".join(v for n, v in instructions() if n == "RUN")
    )
    torch, lock, project = (install.split() for install in installs)
    assert torch[-2:] == ["'^torch==[0-9.]*'", 'requirements.lock)"']
    assert lock == ["--requirement", "requirements.lock"]
    assert project == ["--no-deps", "--editable", "."]
    assert re.fullmatch(r"[0-9.]+", LOCK["torch"])


def test_the_image_gets_files_that_exist_and_all_that_a_run_reads():
    sources = copied()
    assert [source for source in sources if not (ROOT / source).exists()] == []
    needed = {"Snakefile", "config", "envs", "resources", "tests/data", "workflow"}
    assert needed | {"pyproject.toml", "requirements.lock", PROJECT["readme"]} == set(sources)


def test_the_build_context_has_what_is_copied_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if not line.startswith("#")]
    assert patterns[0] == "*"
    assert sorted(line[1:] for line in patterns if line.startswith("!")) == sorted(copied())


def test_the_container_runs_the_study_as_an_ordinary_user():
    last = dict(instructions())
    assert last["USER"] not in ("root", "0")
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["snakemake"]', '["--cores", "all"]')
