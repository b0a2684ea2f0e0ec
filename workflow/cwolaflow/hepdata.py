"""Limits and their workspaces as a HEPData submission."""

import gzip
import re
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from hepdata_lib import Submission, Table, Uncertainty, Variable
from hepdata_validator.full_submission_validator import FullSubmissionValidator

from cwolaflow.errors import InputError
from cwolaflow.files import atomic_path
from cwolaflow.tables import LIMIT_KEYS, MEAN_SEED

GEV_PER_TEV = 1000
DIGITS = 6
MAX_NAME = 64
TABLE_KEYS = ["analysis", "supervision", "met_cut_gev"]


def write_submission(
    path: str | Path,
    limits: pd.DataFrame,
    workspaces: Iterable[tuple[Mapping[str, Any], str | Path]],
    *,
    title: str,
    parameter: str,
    sqrt_s_tev: float,
    confidence_level: float,
) -> None:
    """Write expected limits and pyhf workspaces as a submission that HEPData takes.

    One table for each analysis, kind of training and missing-E_T cut: the limit against the
    luminosity, with the ±1σ and ±2σ bands as uncertainties; where there are several seeds, their
    mean. The workspaces of all seeds are the additional resources of the table. The submission is
    checked against HEPData's schemas, for which no network is needed, and its bytes depend on the
    arguments only.

    Parameters
    ----------
    path : str or Path
        Archive to write, ``.tar.gz``.
    limits : pandas.DataFrame
        The table of ``tables.limits_table`` or ``tables.read_limits``.
    workspaces : iterable of (mapping, str or Path)
        Each limit and the file of its workspace, as `fits.read_fits` gives them.
    title : str
        Of the study.
    parameter : str
        Name of the parameter that is limited.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.
    confidence_level : float
        Confidence level of the limits.

    Raises
    ------
    InputError
        A row has no workspace, or HEPData would refuse the submission.
    """
    found: dict[tuple, list[tuple[Mapping[str, Any], Path]]] = {}
    for content, workspace in workspaces:
        key = tuple(content[name] for name in LIMIT_KEYS)
        found.setdefault(key, []).append((content, Path(workspace).absolute()))
    level = f"{100 * confidence_level:g}% CL"
    submission = Submission()
    submission.comment = (
        f"{title}. Expected {level} CLs upper limits on {parameter} from simulation; no data are "
        "looked at. The workspaces hold the expected background as observation."
    )
    with TemporaryDirectory() as folder:
        for number, (key, rows) in enumerate(limits.groupby(TABLE_KEYS, sort=False), start=1):
            table = _table(number, dict(zip(TABLE_KEYS, key, strict=True)), parameter, sqrt_s_tev)
            rows = _one_row_a_luminosity(rows)
            _add_variables(table, rows, f"{level} expected upper limit on {parameter}", sqrt_s_tev)
            for luminosity in rows["luminosity_fb"]:
                for content, workspace in found.get((*key, luminosity), ()):
                    _attach(table, content, workspace, Path(folder, f"workspace_{number}"))
            if len(table.files_to_copy) < len(rows):
                raise InputError(f"limits of {key}: a workspace is missing; run the limits again")
            submission.add_table(table)
        files = Path(folder, "files")
        # The library also packs an archive of its own, into the working directory.
        with chdir(folder):
            submission.create_files(str(files), validate=False)
        check_submission(files, path)
        with atomic_path(path) as temporary:
            _pack(temporary, files)


def _table(number: int, key: Mapping[str, Any], parameter: str, sqrt_s_tev: float) -> Table:
    # The name becomes that of a file; the number makes it unique.
    supervision = "" if key["supervision"] == "none" else key["supervision"]
    words = f"{key['analysis']} {supervision} met {key['met_cut_gev']:g}"
    words = re.sub(r"[^A-Za-z0-9]+", " ", words).strip()
    table = Table(f"Limits {number} {words}"[:MAX_NAME].strip())
    training = f", {supervision} training" if supervision else ""
    table.description = (
        f"Expected upper limits on {parameter} from {key['analysis']}{training}, as a function of "
        "the integrated luminosity."
    )
    if key["met_cut_gev"]:
        table.description += f" Missing transverse momentum above {key['met_cut_gev']:g} GeV."
    table.location = "Not in a figure"
    table.keywords = {
        "observables": ["CLS"],
        "cmenergies": [GEV_PER_TEV * sqrt_s_tev],
        "phrases": ["Upper limit", "Proton-Proton Scattering", "Simulation"],
    }
    return table


def _one_row_a_luminosity(rows: pd.DataFrame) -> pd.DataFrame:
    several = rows["luminosity_fb"].map(
        (rows["seed"] == MEAN_SEED).groupby(rows["luminosity_fb"]).any()
    )
    return rows[~several | (rows["seed"] == MEAN_SEED)].sort_values("luminosity_fb")


def _add_variables(table: Table, rows: pd.DataFrame, name: str, sqrt_s_tev: float) -> None:
    luminosity = Variable("Integrated luminosity", is_binned=False, units="fb$^{-1}$")
    luminosity.values = rows["luminosity_fb"].tolist()
    limit = Variable(name, is_independent=False, is_binned=False)
    limit.digits = DIGITS
    limit.values = rows["median"].tolist()
    limit.add_qualifier("SQRT(S)", GEV_PER_TEV * sqrt_s_tev, "GeV")
    for n in (1, 2):
        band = Uncertainty(f"{n} sigma", is_symmetric=False)
        edges = zip(rows[f"minus_{n}sigma"], rows[f"plus_{n}sigma"], strict=True)
        band.set_values_from_intervals(list(edges), nominal=limit.values)
        limit.add_uncertainty(band)
    table.add_variable(luminosity)
    table.add_variable(limit)


def _attach(table: Table, content: Mapping[str, Any], workspace: Path, stem: Path) -> None:
    """Copy a workspace to a name of its own, since all are called alike, and attach it."""
    seed = content["seed"]
    suffix = "" if seed is None else f"_seed{seed}"
    copy = Path(f"{stem}_lumi{content['luminosity_fb']:.10g}{suffix}.json")
    shutil.copyfile(workspace, copy)
    text = f"pyhf workspace at {content['luminosity_fb']:g} fb^-1"
    text += "" if seed is None else f", training seed {seed}"
    table.add_additional_resource(text, str(copy), copy_file=True, file_type="HistFactory")


def _pack(path: Path, folder: Path) -> None:
    """Pack a folder without owners and times: the same files give the same bytes."""
    with (
        path.open("wb") as stream,
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in sorted(folder.iterdir()):
            entry = tarfile.TarInfo(file.name)
            entry.size = file.stat().st_size
            with file.open("rb") as content:
                archive.addfile(entry, content)


def check_submission(folder: Path, name: str | Path) -> None:
    """Check the files of a submission against HEPData's schemas.

    Parameters
    ----------
    folder : Path
        Holds ``submission.yaml`` and what it names.
    name : str or Path
        What the error calls the submission.

    Raises
    ------
    InputError
        One line with everything that HEPData would refuse.
    """
    validator = FullSubmissionValidator()
    if not validator.validate(directory=str(folder)):
        problems = [
            f"{Path(file).name}: {error.message}"
            for file, errors in validator.get_messages().items()
            for error in errors
        ]
        raise InputError(f"{name}: HEPData would refuse it ({'; '.join(problems)})")
