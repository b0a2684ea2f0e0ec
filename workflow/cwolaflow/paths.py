"""Input files: whether they are local, and their checksums."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cwolaflow.errors import InputError


def is_remote(path: str) -> bool:
    """Whether a file is an address (``root://``, ``https://``) rather than a local path."""
    return "://" in path


def checksum(path: str | Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, which is read in chunks.

    Returns
    -------
    dict
        ``bytes`` (int) and ``sha256`` (hexadecimal).

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        with Path(path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return {"bytes": stream.tell(), "sha256": digest}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); restore it") from error


def file_record(path: str | Path) -> dict[str, Any]:
    """Name, size and checksum of a file, the same on every machine.

    Returns
    -------
    dict
        ``file``, ``bytes`` and ``sha256``. A relative path stands as it is, an absolute one by its
        name only; an address stands whole, its size and checksum are None.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    if is_remote(str(path)):
        return {"file": str(path), "bytes": None, "sha256": None}
    name = Path(path).name if Path(path).is_absolute() else str(path)
    return {"file": name, **checksum(path)}


def file_records(paths: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Give the `file_record` of each file."""
    return [file_record(path) for path in paths]
