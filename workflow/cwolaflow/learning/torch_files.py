"""Files of tensors."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from cwolaflow.files import atomic_path


def write_tensors(path: str | Path, content: Any) -> None:
    """Write tensors in lists and dicts, atomically; the file loads with ``weights_only=True``."""
    # Given a path, torch would put the temporary name into the file; given a stream, it would hide
    # that the disk is full.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_tensors(path: str | Path) -> Any:
    """Read what `write_tensors` wrote, to the CPU.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    Exception
        The file is damaged; torch raises errors of many kinds.
    """
    # torch does not look at the checksums of its archive.
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("its checksums are wrong")
    return torch.load(path, map_location="cpu", weights_only=True)
