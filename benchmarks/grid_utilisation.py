"""How busy the grid of a study keeps the cores, and how much of it is overhead.

Usage: python benchmarks/grid_utilisation.py [--cores N] [--study YAML] [--keep FOLDER]

Runs the whole study with Snakemake in a copy of the project in which nothing has run, watches the
processes through /proc (Linux), and prints:

wall time
    From the start of Snakemake to its end.
CPU time
    User and system time of Snakemake and all its jobs.
overhead
    CPU time of the Snakemake process itself, plus, for every job, the CPU time that a fresh
    interpreter needs to start, do the imports of its script and end (least of three tries, measured
    here after the run), plus that of Snakemake's preamble in the script. Its share is given of the
    CPU time and of the capacity (cores x wall time): the second is the share of the wall time that
    would be saved without it, if the cores are busy.
training part
    From the first to the last moment at which a `train_classifier` job runs.
demand
    Time that the processes ran or waited for a core (run and queue time of every thread, from
    /proc/PID/task/*/schedstat), of the cores x duration. On a machine of its own it is the use of
    the cores; elsewhere it is what the use would be, while plain CPU time would count a core that
    others hold as idle.
both cores busy
    Share of the samples (two a second) with a demand of at least 85% of all cores.
most threads
    Largest demand of one job between two samples, in cores: about the job's `threads`.
"""

import argparse
import ast
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("config", "workflow", "resources", "envs")
INTERVAL = 0.5
BUSY = 0.85
SCRIPT = re.compile(rb"\.snakemake/scripts/tmp[^/\0]*\.(\w+)\.py")
PREAMBLE = "from snakemake.logging import logger\nfrom snakemake.iocontainers import Snakemake"


def copy_project(folder: Path, study: Path) -> None:
    """Copy what a run needs, and let the config name this study alone."""
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored, dirs_exist_ok=True)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "profiles").symlink_to("workflow/profiles")
    (folder / "tests").symlink_to(ROOT / "tests")
    target = folder / "config/studies" / study.name
    if study.resolve() != (ROOT / "config/studies" / study.name):
        shutil.copy(study, target)
    config = folder / "config/config.yaml"
    text = re.sub(
        r"(?<=studies:\n)(  - .*\n)+", f"  - config/studies/{study.name}\n", config.read_text()
    )
    config.write_text(text)


def clock_ticks(pid: int) -> float:
    """CPU seconds of one process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def demand_of(pid: int) -> float:
    """Seconds that the living threads of a process have run or waited for a core."""
    nanoseconds = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        ran, waited, _ = (task / "schedstat").read_text().split()
        nanoseconds += int(ran) + int(waited)
    return nanoseconds / 1e9


def descendants(pid: int) -> list[int]:
    """Processes under a process."""
    found, pending = [], [pid]
    while pending:
        parent = pending.pop()
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = [int(child) for child in (task / "children").read_text().split()]
                found += children
                pending += children
        except OSError:
            continue
    return found


def script_of(pid: int) -> str | None:
    """Script that a process runs for Snakemake."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    # The shell between Snakemake and Python has the name in one of its arguments, too.
    executable = command.split(b"\0")[0]
    match = SCRIPT.search(command)
    return match[1].decode() if match and b"python" in executable else None


class Watch:
    """Samples of the processes under Snakemake."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.own = 0.0
        self.samples: list[tuple[float, float, set[str]]] = []
        self.most = defaultdict(float)
        self._last: dict[int, float] = {}
        self._time = time.monotonic()

    def sample(self) -> None:
        """Add what happened since the last sample."""
        now = time.monotonic()
        elapsed, self._time = now - self._time, now
        demand, running, seen = 0.0, set(), {}
        for pid in [self.pid, *descendants(self.pid)]:
            try:
                total = demand_of(pid)
                script = None if pid == self.pid else script_of(pid)
                if pid == self.pid:
                    self.own = clock_ticks(pid)
            except OSError:
                continue
            seen[pid] = total
            used = max(total - self._last.get(pid, 0.0), 0.0)
            demand += used
            if script:
                running.add(script)
                if pid in self._last:
                    self.most[script] = max(self.most[script], used / elapsed)
        self._last = seen
        self.samples.append((elapsed, demand, running))


def training_part(samples: list) -> list:
    """Samples from the first to the last with a training."""
    where = [i for i, (_, _, running) in enumerate(samples) if "train_classifier" in running]
    return samples[where[0] : where[-1] + 1] if where else []


def import_seconds(script: str | None) -> float:
    """CPU seconds of an interpreter with Snakemake's preamble, the imports and log of a script."""
    code = PREAMBLE
    if script:
        tree = ast.parse((ROOT / "workflow/scripts" / f"{script}.py").read_text(encoding="utf-8"))
        first, *others = (
            node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
        )
        # As in the scripts: the log starts before all other imports.
        lines = [PREAMBLE, ast.unparse(first), f"start_log({os.devnull!r})"]
        code = "\n".join([*lines, *map(ast.unparse, others)])
    tries = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        tries.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(tries)


def jobs_of(output: str) -> Counter:
    """Number of jobs by script, from the table that Snakemake prints at its start."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", output, re.S | re.M)
    if table is None:
        raise SystemExit(f"Snakemake printed no table of jobs:\n{output[-2000:]}")
    counts = (line.split() for line in table[1].splitlines())
    return Counter({rule: int(count) for rule, count in counts if rule != "all"})


def run(folder: Path, cores: int) -> tuple[float, float, Watch, Counter]:
    """Run the grid; give wall and CPU seconds, the samples and the jobs."""
    environment = os.environ | {"PYTHONPATH": str(folder / "workflow")}
    command = [sys.executable, "-m", "snakemake", "--nocolor"]
    plan = subprocess.run(
        [*command, "--dry-run"],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    jobs = jobs_of(plan.stdout + plan.stderr)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with (folder / "snakemake.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--cores", str(cores)],
            cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        watch = Watch(process.pid)
        while process.poll() is None:
            watch.sample()
            time.sleep(INTERVAL)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"the grid failed:\n{(folder / 'snakemake.log').read_text()[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, watch, jobs


def main() -> None:
    """Run, watch, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--study", type=Path, default=ROOT / "config/studies/hinv-quick.yaml")
    parser.add_argument("--keep", type=Path, help="run in this new folder and leave it there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        copy_project(folder, arguments.study)
        wall, cpu, watch, jobs = run(folder, arguments.cores)
    imports = {script: import_seconds(script) for script in jobs}
    start_up = sum(count * imports[script] for script, count in jobs.items())
    overhead = watch.own + start_up
    capacity = arguments.cores * wall

    print(f"{'script':24} {'jobs':>5} {'start-up CPU s':>15} {'most threads':>13}")
    for script, count in jobs.items():
        print(f"{script:24} {count:5} {imports[script]:15.2f} {watch.most[script]:13.2f}")
    print(f"jobs                         {sum(jobs.values()):8}")
    print(f"wall time                    {wall:8.0f} s")
    print(f"CPU time                     {cpu:8.0f} s")
    print(f"  of Snakemake itself        {watch.own:8.1f} s")
    print(f"  interpreters and imports   {start_up:8.1f} s")
    print(f"overhead / CPU time          {overhead / cpu:8.1%}")
    print(f"overhead / (cores x wall)    {overhead / capacity:8.1%}")
    for name, part in (
        ("whole run", watch.samples),
        ("training part", training_part(watch.samples)),
    ):
        if not part:
            continue
        duration = sum(elapsed for elapsed, _, _ in part)
        demand = sum(used for _, used, _ in part)
        busy = sum(e for e, used, _ in part if used >= BUSY * arguments.cores * e)
        print(f"{name:14} {duration:6.0f} s: demand {demand / (arguments.cores * duration):6.1%}, "
              f"both cores busy {busy / duration:6.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
