"""States of unfinished trainings in files, from which a job goes on after it was killed."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cwolaflow.learning.torch_files import read_tensors, write_tensors

log = logging.getLogger(__name__)


class Checkpoint:
    """The file of one training.

    Parameters
    ----------
    path : Path
    interval_s : float
        See `Checkpoints`.
    """

    def __init__(self, path: Path, interval_s: float) -> None:
        self.path, self.interval_s = path, interval_s
        self.written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Give the state that was written last; None where there is none, or it is damaged."""
        try:
            return read_tensors(self.path)
        except FileNotFoundError:
            return None
        except Exception as error:
            log.warning("%s: not readable (%s); the training starts anew", self.path, error)
            return None

    def write_if_due(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write what ``state`` gives, unless less than ``interval_s`` have passed."""
        if time.monotonic() - self.written < self.interval_s:
            return
        write_tensors(self.path, state())
        self.written = time.monotonic()


class Checkpoints:
    """Folder with the states of the trainings of a job, a file each.

    The name of a file is a hash of all that its training depends on: whatever has changed since
    the job was killed, no training goes on from a state that is not its own.

    Parameters
    ----------
    folder : str or Path
        Made when the first state is written.
    sources : sequence of str or Path
        Files from which the inputs come; their sizes and times of change are hashed.
    about : anything that is JSON
        What else the trainings depend on and do not know themselves, such as the version of the
        code.
    interval_s : float
        Seconds of training after which a state is written, at the end of an epoch.
    """

    def __init__(
        self,
        folder: str | Path,
        sources: Iterable[str | Path] = (),
        about: Any = None,
        interval_s: float = 60.0,
    ) -> None:
        self.folder, self.interval_s = Path(folder), interval_s
        files = [(str(path), Path(path).stat()) for path in sources]
        seen = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in files]
        self.origin = [seen, about, torch.__version__]

    def of(
        self, about: Any, arrays: Iterable[np.ndarray], tensors: Iterable[torch.Tensor]
    ) -> Checkpoint:
        """Give the file of the training that is told from others by what it depends on.

        Parameters
        ----------
        about : anything that is JSON
        arrays : iterable of ndarray
        tensors : iterable of tensor
        """
        digest = hashlib.blake2b(
            json.dumps([self.origin, about], sort_keys=True).encode(), digest_size=16
        )
        for array in (*arrays, *(tensor.detach().cpu().numpy() for tensor in tensors)):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
        return Checkpoint(self.folder / f"{digest.hexdigest()}.pt", self.interval_s)

    def remove(self) -> None:
        """Remove all states: the job has written its results."""
        shutil.rmtree(self.folder, ignore_errors=True)
