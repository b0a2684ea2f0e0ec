"""Files of fits: the limits of one analysis at several luminosities, and their workspaces."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cwolaflow.errors import InputError
from cwolaflow.files import atomic_folder, json_text, read_json, write_json

Fit = tuple[dict[str, Any], Path]
"""A limit, with the labels that tell it from others, and the file of its workspace."""


def workspace_path(folder: str | Path, luminosity_fb: float) -> Path:
    """File of the workspace at a luminosity in fb⁻¹."""
    return Path(folder, f"lumi{luminosity_fb:.10g}.json")


def write_fits(
    limits_path: str | Path,
    workspaces_folder: str | Path,
    fits: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> None:
    """Write the limits of one analysis to one file and each workspace to a file of its own.

    Parameters
    ----------
    limits_path : str or Path
        JSON file of the list of limits.
    workspaces_folder : str or Path
        Replaced if it is there.
    fits : iterable of (limit, workspace)
        Each limit with its ``luminosity_fb``.
    """
    fits = list(fits)
    with atomic_folder(workspaces_folder) as temporary:
        for limit, workspace in fits:
            path = workspace_path(temporary, limit["luminosity_fb"])
            path.write_text(json_text(workspace), encoding="utf-8")
    write_json(limits_path, [dict(limit) for limit, _ in fits])


def read_limit(path: str | Path, luminosity_fb: float) -> dict[str, Any]:
    """Read the limit at one luminosity in fb⁻¹.

    Raises
    ------
    InputError
        The file is damaged, or has no limit at this luminosity.
    """
    limits = read_json(path)
    for limit in limits:
        if limit["luminosity_fb"] == luminosity_fb:
            return limit
    there = ", ".join(f"{limit['luminosity_fb']:g}" for limit in limits)
    raise InputError(
        f"{path}: has no limit at {luminosity_fb:g}/fb, only at {there}; delete it and run again"
    )


def read_fits(paths: Sequence[str | Path], folders: Sequence[str | Path]) -> list[Fit]:
    """Read the limits of several analyses, each with the path of its workspace.

    Parameters
    ----------
    paths : sequence of str or Path
        What `write_fits` wrote.
    folders : sequence of str or Path
        Folders of their workspaces, in the same order.

    Returns
    -------
    list of (dict, Path)
        By luminosity; at each in the order of ``paths``.

    Raises
    ------
    InputError
        A file is damaged.
    """
    fits = [
        (limit, workspace_path(folder, limit["luminosity_fb"]))
        for path, folder in zip(paths, folders, strict=True)
        for limit in read_json(path)
    ]
    return sorted(fits, key=lambda fit: fit[0]["luminosity_fb"])
