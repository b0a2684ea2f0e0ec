"""Which runs of the workflow live, told by locks that the system drops when a process dies.

A killed run cannot clean up. Every run therefore holds a locked file as long as it lives: the next
run sees which of the files are left from the dead, and a job sees when its run is gone.
"""

import atexit
import errno
import fcntl
import os
import shutil
import socket
import threading
from pathlib import Path
from typing import BinaryIO

VARIABLE = "CWOLAFLOW_RUN"
# Some network file systems are mounted without locks.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}

_held: dict[Path, BinaryIO] = {}


def _is_dead(path: Path) -> bool:
    """Whether nobody holds a run file of this host; a shared lock, as waiting jobs take it too."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def hold(folder: Path) -> Path:
    """Create a run file that is locked until this process ends, however it ends.

    Returns
    -------
    Path
        ``{folder}/{host}:{process id}``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / f"{socket.gethostname()}:{os.getpid()}"
    # Locked under another name, so that nobody sees it unlocked.
    hidden = path.with_name(f".{path.name}")
    stream = hidden.open("wb")
    fcntl.flock(stream, fcntl.LOCK_EX)
    hidden.replace(path)
    _held[path] = stream
    atexit.register(path.unlink, missing_ok=True)
    return path


def others(folder: Path, own: Path) -> list[Path]:
    """Run files of other living runs; those of dead ones of this host are removed.

    Runs of another host count as living, as not every network file system shares its locks.
    """
    living = []
    for path in sorted(folder.resolve().glob("[!.]*:*")):
        if path == own:
            continue
        if path.name.rpartition(":")[0] == socket.gethostname() and _is_dead(path):
            path.unlink(missing_ok=True)
        else:
            living.append(path)
    return living


def start_run(state: Path) -> None:
    """Register this run of the workflow, and clear the locks of killed runs when no other lives.

    Jobs started from here on end with this process, see `end_with_run`. Without file locks nothing
    happens: the locks of a killed run then wait for ``snakemake --unlock``.

    Parameters
    ----------
    state : Path
        Folder in which Snakemake keeps its state.
    """
    folder = state / "cwolaflow_runs"
    try:
        own = hold(folder)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return
        raise
    os.environ[VARIABLE] = str(own)
    if not others(folder, own):
        shutil.rmtree(state / "locks", ignore_errors=True)


def end_with_run() -> None:
    """End this job as soon as the run that started it is gone.

    A job that outlives a killed run would write beside the next one. Does nothing for a job that a
    batch system started: that ends its jobs itself.
    """
    run = os.environ.get(VARIABLE)
    if not run:
        return

    def wait() -> None:
        try:
            with Path(run).open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH)
        except FileNotFoundError:
            pass
        os._exit(1)

    threading.Thread(target=wait, name="end_with_run", daemon=True).start()
