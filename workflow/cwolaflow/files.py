"""Atomic writing of the files that the rules exchange."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

REMEDIES = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some of your quota and run again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and run again",
    errno.EACCES: "make the folder writable and run again",
    errno.EPERM: "make the folder writable and run again",
    errno.EROFS: "run where you may write, or make results a link to such a folder",
    errno.EEXIST: "move the file that stands where the folder should be",
    errno.ENOTDIR: "move the file that stands where the folder should be",
}

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _not_written(path: Path, error: OSError) -> InputError:
    remedy = REMEDIES.get(error.errno, "mend that and run again")
    return InputError(f"{path}: cannot be written ({error.strerror or error}); {remedy}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _no_leftovers(path: Path) -> Iterator[str]:
    """Remove what killed jobs left of earlier tries at a path; give the prefix of a new try."""
    ours = re.compile(rf"\.{re.escape(path.stem)}-[a-z0-9_]{{8}}{re.escape(path.suffix)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in path.parent.iterdir():
            if ours.fullmatch(other.name):
                _remove(other)
        yield f".{path.stem}-"
    except OSError as error:
        raise _not_written(path, error) from error


@contextmanager
def _named_when_whole(path: Path, temporary: Path, mode: int) -> Iterator[Path]:
    """Rename a temporary file or folder when the block succeeds, and remove it when it raises."""
    try:
        try:
            yield temporary
        except OSError as error:
            # Other kinds may come from a file that the block reads.
            if error.errno in NO_SPACE:
                raise _not_written(path, error) from error
            raise
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(mode & ~umask)
        temporary.replace(path)
    finally:
        _remove(temporary)


def check_writable(folder: str | Path) -> None:
    """Try to create a file in a folder, or in the folder in which it would be made.

    Raises
    ------
    InputError
        That is not possible.
    """
    folder = Path(folder)
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise _not_written(folder, error) from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that becomes ``path`` when the block succeeds.

    The temporary file keeps the suffix of ``path``, so that writers which look at it agree. It is
    removed when the block raises: a file under its final name is always whole. What a killed job
    left of an earlier try at ``path`` is removed too.

    Raises
    ------
    InputError
        The disk is full, or the folder cannot be written.
    """
    path = Path(path)
    with _no_leftovers(path) as prefix:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    with _named_when_whole(path, Path(name), 0o666) as temporary:
        yield temporary


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that becomes ``path`` when the block succeeds.

    A folder that is there is replaced. All else is as for `atomic_path`.

    Raises
    ------
    InputError
        The disk is full, or the folder cannot be written.
    """
    path = Path(path)
    with _no_leftovers(path) as prefix:
        name = tempfile.mkdtemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
    with _named_when_whole(path, Path(name), 0o777) as temporary:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)


def json_text(content: Any) -> str:
    """Write ``content`` as indented JSON; NaN and infinity are refused."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as `json_text`, atomically."""
    text = json_text(content)
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


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """Options with which all Parquet files are written.

    Real numbers hardly repeat: with the bytes of each stored apart, a skim is a third smaller and
    written three times as fast as with a dictionary.
    """
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_batches([], schema), buffer)
    leaves = pq.ParquetFile(buffer).schema
    columns = [leaves.column(i) for i in range(len(leaves))]
    is_real = {column.path: column.physical_type in ("FLOAT", "DOUBLE") for column in columns}
    return {
        "compression": "zstd",
        "compression_level": 3,
        # Without checksums a flipped bit can be read as another number.
        "write_page_checksum": True,
        "use_byte_stream_split": [path for path, real in is_real.items() if real],
        "use_dictionary": [path for path, real in is_real.items() if not real],
    }


def write_table(path: str | Path, table: pd.DataFrame | pa.Table) -> None:
    """Write a table as zstd Parquet, atomically and without a pandas index."""
    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, **parquet_options(table.schema))


@contextmanager
def open_parquet(path: str | Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for reading; its pages are held against their checksums.

    Raises
    ------
    InputError
        The file is missing or damaged, also when that shows while the block reads it.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: not readable as Parquet ({reason}); delete it and run again"
        ) from error


def iterate_batches(
    file: pq.ParquetFile, columns: Sequence[str], events: int
) -> Iterator[pa.RecordBatch]:
    """Read columns of an open Parquet file, at most ``events`` rows at a time."""
    # Over all row groups at once, memory would grow with the file.
    for group in range(file.num_row_groups):
        yield from file.iter_batches(events, row_groups=[group], columns=list(columns))


def read_table(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a flat Parquet table.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    with open_parquet(path) as file:
        # What pandas notes in the footer has no checksum, and is not needed.
        return file.read(columns).replace_schema_metadata().to_pandas()


def read_tables(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read flat Parquet tables of several samples, one after the other."""
    import pandas as pd

    return pd.concat(map(read_table, paths), ignore_index=True)


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with six significant digits, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
