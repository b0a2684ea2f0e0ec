"""Atomic writing of the files that the rules exchange."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.errors import InputError

PARQUET_OPTIONS = {"compression": "zstd", "compression_level": 3}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that becomes ``path`` when the block succeeds.

    The temporary file keeps the suffix of ``path``, so that writers which look at it agree. It is
    removed when the block raises: a file under its final name is always whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically; NaN and infinity are refused."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    InputError
        The file is damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON ({error}); delete it and run again") from error


def write_table(path: str | Path, table: pd.DataFrame | pa.Table) -> None:
    """Write a table as zstd Parquet, atomically and without a pandas index."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, **PARQUET_OPTIONS)


def read_table(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a flat Parquet table.

    Raises
    ------
    InputError
        The file is damaged.
    """
    try:
        return pq.read_table(path, columns=columns).to_pandas()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: not readable as Parquet ({reason}); delete it and run again"
        ) from error


def read_tables(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read flat Parquet tables of several samples, one after the other."""
    return pd.concat(map(read_table, paths), ignore_index=True)


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with six significant digits, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
