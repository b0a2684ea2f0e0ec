"""Logging of a rule's script, and progress over long loops."""

import atexit
import gc
import logging
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from cwolaflow.alive import end_with_run
from cwolaflow.errors import CwolaflowError

Item = TypeVar("Item")

_in_job = False
"""Whether a log was started: several jobs share the terminal, so that none may draw on it."""


def start_log(path: str | Path) -> None:
    """Send the package's log records to a file and to stderr, and tracebacks to the file.

    The script also ends when the run of the workflow that started it is killed.
    A terminal gets warnings and errors only: there, Snakemake shows the progress of all jobs.

    A ``CwolaflowError`` that ends the script reaches stderr as its one line; any other exception
    reaches stderr whole. Either way the traceback is in the file.

    Parameters
    ----------
    path : str or Path
        Log file, overwritten.
    """
    end_with_run()
    # Searches for garbage while modules are imported, and through them all at the end, find none
    # and take a tenth of the start of a job and up to half a second.
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    log_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    terminal = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        terminal.setLevel(logging.WARNING)
    for handler in (log_file, terminal):
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
        )
    logging.basicConfig(level=logging.WARNING, handlers=[log_file, terminal], force=True)
    logging.getLogger("cwolaflow").setLevel(logging.INFO)
    logging.captureWarnings(True)
    global _in_job
    _in_job = True

    def report(kind, error, trace):
        text = "".join(traceback.format_exception(kind, error, trace))
        if issubclass(kind, CwolaflowError):
            sys.stderr.write(f"cwolaflow: {error}\n")
        else:
            sys.stderr.write(text)
        log_file.stream.write(text)
        log_file.flush()

    sys.excepthook = report


def progress(
    items: Iterable[Item], description: str, total: int | None = None, unit: str = "it"
) -> Iterator[Item]:
    """Iterate with a progress bar on a terminal, or with a log line every 30 s elsewhere.

    Parameters
    ----------
    items : iterable
        What to iterate over.
    description : str
        Shown before the bar or in the log line.
    total : int, optional
        Number of items, if it is known and ``items`` has no length.
    unit : str
        What one item is called.
    """
    if sys.stderr.isatty() and not _in_job:
        yield from tqdm(items, desc=description, total=total, unit=unit, leave=False)
        return
    log = logging.getLogger("cwolaflow.progress")
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    last = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last > 30:
            last = time.monotonic()
            log.info("%s: %d%s %s", description, done, f" of {total}" if total else "", unit)
        yield item
