"""Where the numbers of a study come from: software, config, inputs, seeds and jobs."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cwolaflow
from cwolaflow.files import read_json
from cwolaflow.inference.fits import read_limit, workspace_path
from cwolaflow.paths import checksum, file_record, file_records
from cwolaflow.tables import LIMIT_KEYS, LIMIT_NUMBERS, MEAN_SEED

PACKAGES = (
    "awkward",
    "fastjet",
    "numpy",
    "pandas",
    "pyarrow",
    "pyhf",
    "pythia8mc",
    "scikit-learn",
    "scipy",
    "snakemake",
    "torch",
    "uproot",
)
_FILES_OF_A_TRAINING = ("model", "scores", "metrics", "training")


def provenance_record(
    study: Mapping[str, Any],
    repository: str | Path,
    *,
    tables: Sequence[str | Path],
    samples: Mapping[str, Mapping[str, Any]],
    pile_up_libraries: Mapping[str, Sequence[str]],
    generated: Mapping[str, Sequence[str]],
    trainings: Sequence[Mapping[str, str]],
    limits: Sequence[Mapping[str, Any]],
    published: str | Path | None = None,
) -> dict[str, Any]:
    """Say where the numbers of a study come from.

    The record holds neither times nor absolute paths: the same study on the same inputs has the
    same record in any folder.

    Parameters
    ----------
    study : mapping
        The study, bases and defaults filled in.
    repository : str or Path
        Folder of the workflow, for `git_version`.
    tables : sequence of str or Path
        Tables that are made from all this.
    samples : mapping of str to mapping
        Of each sample: ``normalisation``, the JSON file of its row, and ``files``, JSON files of
        its `file_records`, one a part; none for a produced sample.
    pile_up_libraries : mapping of str to sequence of str
        Local files or addresses of libraries that are not produced.
    generated : mapping of str to sequence of str
        JSON files of what the generator says of each part, of each produced sample.
    trainings : sequence of mapping
        Paths of each training: ``model``, ``scores``, ``metrics``, ``training``.
    limits : sequence of mapping
        Of each limit its ``luminosity_fb`` and paths: ``limits``, the folder ``workspaces``, and
        ``model``, ``scores``, ``metrics``, ``training`` of the training behind it where there is
        one.
    published : str or Path, optional
        Table of published numbers.

    Returns
    -------
    dict
        ``study``, ``config_sha256``, ``config``, ``software``, ``tables``, ``samples``,
        ``pile_up_libraries``, ``generated``, ``published``; ``trainings``, an entry a row of
        metrics.csv, and ``limits``, an entry a row of limits.csv, with the keys of that row.

    Raises
    ------
    InputError
        A file is damaged or missing.
    """
    return {
        "study": study["name"],
        "config_sha256": config_hash(study),
        "config": dict(study),
        "software": software_versions(repository),
        "tables": {Path(path).name: checksum(path) for path in tables},
        "samples": {
            name: {
                "normalisation": read_json(sample["normalisation"]),
                "files": [record for part in sample["files"] for record in read_json(part)],
            }
            for name, sample in samples.items()
        },
        "pile_up_libraries": {
            name: file_records(files) for name, files in pile_up_libraries.items()
        },
        "generated": {name: list(map(read_json, parts)) for name, parts in generated.items()},
        "published": None if published is None else file_record(published),
        "trainings": [_training_entry(job) for job in trainings],
        "limits": limit_entries(limits),
    }


def config_hash(study: Mapping[str, Any]) -> str:
    """SHA-256 of a study as JSON with sorted keys; comments in its files do not count."""
    text = json.dumps(study, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def software_versions(repository: str | Path) -> dict[str, Any]:
    """Versions of this library, of Python and of what computes numbers; ``git`` may be null."""
    return {
        "cwolaflow": cwolaflow.__version__,
        "git": git_version(repository),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def git_version(repository: str | Path) -> str | None:
    """What ``git describe --always --dirty`` says of a repository.

    Returns
    -------
    str or None
        None without git, or where the folder is not the top of a repository: one that merely lies
        above it would be another project's.
    """
    top = _git(repository, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != Path(repository).resolve():
        return None
    return _git(repository, "describe", "--always", "--dirty")


def limit_entries(limits: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Trace every row of limits.csv to its files.

    Parameters
    ----------
    limits : iterable of mapping
        As for `provenance_record`.

    Returns
    -------
    list of dict
        An entry a row: the columns ``LIMIT_KEYS``, ``seed`` (null where nothing is trained) and
        the five numbers of ``limits.json``; ``limits``, ``workspace`` and, where there is a
        training, ``model`` and ``scores``, each with ``file``, ``bytes`` and ``sha256``;
        ``training`` (its path) and ``training_seed``, the derived seed. A row ``mean`` has
        ``mean_of``, the seeds that it averages, instead of files.
    """
    entries = []
    seeds: dict[tuple, list[int]] = {}
    for job in limits:
        content = read_limit(job["limits"], job["luminosity_fb"])
        key = {name: content[name] for name in LIMIT_KEYS}
        entry = {
            **key,
            "seed": content["seed"],
            **{name: content[name] for name in LIMIT_NUMBERS},
            "limits": file_record(job["limits"]),
            "workspace": file_record(workspace_path(job["workspaces"], job["luminosity_fb"])),
        }
        if "training" in job:
            entry |= {
                "model": file_record(job["model"]),
                "scores": file_record(job["scores"]),
                "training": job["training"],
                "training_seed": read_json(job["training"])["seed"],
            }
        entries.append(entry)
        seeds.setdefault(tuple(key.values()), []).append(content["seed"])
    means = [
        {**dict(zip(LIMIT_KEYS, key, strict=True)), "seed": MEAN_SEED, "mean_of": sorted(of)}
        for key, of in seeds.items()
        if len(of) > 1
    ]
    return entries + means


def _training_entry(job: Mapping[str, str]) -> dict[str, Any]:
    metrics, summary = read_json(job["metrics"]), read_json(job["training"])
    keys = ("classifier", "supervision", "luminosity_fb", "seed")
    return {
        **{name: metrics[name] for name in keys},
        "training_seed": summary["seed"],
        "versions": summary["versions"],
        **{name: file_record(job[name]) for name in _FILES_OF_A_TRAINING},
    }


def _git(repository: str | Path, *arguments: str) -> str | None:
    # Describing a tree must not refresh the index of whoever works in it.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
