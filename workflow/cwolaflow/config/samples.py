"""Which Delphes files make up a sample or a pile-up library, and how samples are normalised."""

import csv
import glob
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwolaflow.config.validation import nearest, validate
from cwolaflow.errors import ConfigError
from cwolaflow.paths import is_remote

NUMBERS = ("cross_section_pb", "k_factor", "branching_fraction", "filter_efficiency")
COLUMNS = ("sample", "process", "files", *NUMBERS)


@dataclass(frozen=True)
class Sample:
    """One row of a sample table.

    Attributes
    ----------
    name, process : str
        The sample, and the study's process that it belongs to.
    files : tuple of str
        Delphes ROOT files, globs resolved; ``root://`` addresses as they are. None for a sample
        that the workflow produces itself.
    cross_section_pb, k_factor, branching_fraction, filter_efficiency : float
        Their product is the cross section in pb that all events of ``files`` stand for. For a
        produced sample the cross section is that before the filter, whose efficiency the
        generator tells, or None: then the generator tells both.
    """

    name: str
    process: str
    files: tuple[str, ...]
    cross_section_pb: float | None
    k_factor: float
    branching_fraction: float
    filter_efficiency: float

    @property
    def row(self) -> dict[str, Any]:
        """The row of the table without its files."""
        factors = {name: getattr(self, name) for name in NUMBERS}
        return {"sample": self.name, "process": self.process, **factors}

    @property
    def is_produced(self) -> bool:
        """Whether the workflow produces the events."""
        return not self.files


def skim_parts(files: Sequence[str], files_per_part: int) -> list[list[str]]:
    """Files of each job in which a sample is skimmed."""
    return [
        list(files[first : first + files_per_part])
        for first in range(0, len(files), files_per_part)
    ]


def _resolve_files(text: str) -> tuple[list[str], list[str]]:
    """Expand a comma-separated list of paths, globs and addresses into files and problems."""
    files: list[str] = []
    problems = []
    for pattern in filter(None, (part.strip() for part in text.split(","))):
        if is_remote(pattern):
            files.append(pattern)
            continue
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (absolute patterns)
        if not found:
            kind = "matches no file" if glob.has_magic(pattern) else "does not exist"
            problems.append(
                f"file {pattern!r} {kind}; correct the path (relative to the folder you run in)"
            )
        files.extend(found)
    return files, problems


def load_samples(
    path: str | Path, processes: Collection[str], produced: Collection[str] = ()
) -> dict[str, Sample]:
    """Read and check a sample table (tab-separated; columns as in ``COLUMNS``).

    Parameters
    ----------
    path : str or Path
        The table. Relative paths in it are relative to the working directory.
    processes : collection of str
        Processes of the study; each needs at least one sample.
    produced : collection of str
        Samples that the study can produce: their files and cross section may be empty.

    Returns
    -------
    dict of str to Sample
        In the order of the table.

    Raises
    ------
    ConfigError
        One line with every problem: an unknown column or process, a value out of range, a missing
        file, a sample or file that stands twice.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8", newline="") as table:
            numbered = [
                (number, line)
                for number, line in enumerate(table, start=1)
                if line.strip() and not line.startswith("#")
            ]
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such sample table; correct the study's 'samples'") from error
    reader = csv.DictReader((line for _, line in numbered), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = tuple(reader.fieldnames or ())
    if set(header) != set(COLUMNS) or len(header) != len(COLUMNS):
        raise ConfigError(
            f"{path}: columns are {', '.join(header) or 'none'}; "
            f"they must be {', '.join(COLUMNS)}, separated by tabs"
        )

    samples: dict[str, Sample] = {}
    owner: dict[str, str] = {}
    problems: list[str] = []
    for (number, _), row in zip(numbered[1:], reader, strict=True):
        where = f"line {number} (sample {row['sample']!r})"
        if None in row or None in row.values():
            problems.append(f"{where}: has not {len(COLUMNS)} columns; separate them by tabs")
            continue
        try:
            validate(values := _typed(row), "samples", path)
        except ConfigError as error:
            problems.append(f"{where}: {str(error).removeprefix(f'{path}: ')}")
            continue
        name, process = values["sample"], values["process"]
        if process not in processes:
            problems.append(
                f"{where}: unknown process {process!r}{nearest(process, list(processes))}; "
                f"the study has {', '.join(processes)}"
            )
        if name in samples:
            problems.append(f"{where}: sample {name!r} stands twice; give each row its own name")
        files, missing = _resolve_files(values["files"])
        problems.extend(f"{where}: {problem}" for problem in missing)
        if not files and not missing:
            problems.extend(f"{where}: {text}" for text in _production_problems(values, produced))
        elif values["cross_section_pb"] is None:
            problems.append(f"{where}: 'cross_section_pb' is empty; files need one")
        for file in files:
            identity = file if is_remote(file) else str(Path(file).resolve())
            if identity in owner:
                problems.append(f"{where}: file {file!r} is already in sample {owner[identity]!r}")
            owner[identity] = name
        samples[name] = Sample(name, process, tuple(files), *(values[number] for number in NUMBERS))
    for process in processes:
        if not problems and process not in {sample.process for sample in samples.values()}:
            problems.append(f"process {process!r} of the study has no sample; add a row for it")
    if problems:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    return samples


def _production_problems(values: dict[str, Any], produced: Collection[str]) -> Iterator[str]:
    if values["sample"] not in produced:
        yield (
            "column 'files' is empty and the study's 'produce.samples' lacks it"
            f"{nearest(values['sample'], list(produced))}; name Delphes files or produce it"
        )
    if values["filter_efficiency"] != 1:
        yield (
            "the generator tells the filter efficiency of a produced sample; leave "
            "'filter_efficiency' 1"
        )


def load_pile_up_libraries(study: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Find the minimum-bias files of the pile-up libraries of a study.

    Parameters
    ----------
    study : dict
        From ``load_study``. Relative paths in it are relative to the working directory.

    Returns
    -------
    dict of str to tuple of str
        Delphes files by library, globs resolved; ``root://`` addresses as they are. Libraries
        of a produced sample are left out.

    Raises
    ------
    ConfigError
        One line with every library without files and every file that is missing or stands twice.
    """
    libraries: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name, library in study["represent"]["pile_up_libraries"].items():
        if "sample" in library:
            continue
        where = f"'represent.pile_up_libraries.{name}.files'"
        files, missing = _resolve_files(",".join(library["files"]))
        repeated = sorted({file for file in files if files.count(file) > 1})
        problems.extend(f"{where}: {problem}" for problem in missing)
        if not files and not missing:
            problems.append(f"{where} is empty; name at least one Delphes file")
        problems.extend(f"{where}: file {file!r} stands twice; name it once" for file in repeated)
        libraries[name] = tuple(files)
    if problems:
        raise ConfigError(f"study {study['name']!r}: " + "; ".join(problems))
    return libraries


def _typed(row: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {key: text.strip() for key, text in row.items()}
    for key in NUMBERS:
        if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", values[key]):
            values[key] = float(values[key])
    values["cross_section_pb"] = values["cross_section_pb"] or None
    return values
