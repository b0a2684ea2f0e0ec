"""Generator events as flat arrays, and what the detector knows of particle species."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow.parquet as pq

from cwolaflow.errors import InputError, StatisticsError

_PARTICLE_FIELDS = ("pid", "status", "mother", "px", "py", "pz", "e", "m", "x", "y", "z", "t")
_THIRDS = np.array([0, -1, 2, -1, 2, -1, 2, 0, 0, 0])  # charge in e/3 by quark digit


@dataclass(frozen=True)
class GeneratorEvents:
    """A batch of generator events: one entry a particle, all events after each other.

    Parameters
    ----------
    offsets : int64 array, shape (n_events + 1,)
        Particles of event k are ``offsets[k]:offsets[k + 1]``.
    pid, status, mother : int arrays, shape (n_particles,)
        PDG id; HepMC status (1 final, 2 decayed, 4 beam, others as of the generator); index *within
        the event* of the first parent, -1 for none.
    px, py, pz, e, m : float64 arrays, shape (n_particles,)
        GeV.
    x, y, z, t : float64 arrays, shape (n_particles,)
        Production vertex in mm (time: c*t in mm).
    weight : float64 array, shape (n_events,)
        Generator weight.
    """

    offsets: np.ndarray
    pid: np.ndarray
    status: np.ndarray
    mother: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    e: np.ndarray
    m: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    t: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        """Number of events."""
        return len(self.offsets) - 1

    @property
    def event(self) -> np.ndarray:
        """Event index of every particle, int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @classmethod
    def from_awkward(
        cls, particles: ak.Array, weight: np.ndarray | None = None
    ) -> "GeneratorEvents":
        """From a jagged array (events * particles) of records with this class's field names.

        Without ``weight`` every event counts 1.
        """
        particles = ak.to_packed(particles)
        offsets = np.concatenate([[0], np.cumsum(ak.num(particles).to_numpy())]).astype(np.int64)
        flat = ak.flatten(particles)
        columns = {}
        for name in _PARTICLE_FIELDS:
            kind = np.int64 if name in ("pid", "status", "mother") else np.float64
            columns[name] = ak.to_numpy(flat[name]).astype(kind)
        weight = np.ones(len(particles)) if weight is None else np.asarray(weight, np.float64)
        return cls(offsets, **columns, weight=weight)

    @classmethod
    def from_pythia(cls, batch: ak.Array) -> "GeneratorEvents":
        """From what ``nextBatch`` of PYTHIA's Python interface returns.

        Of PYTHIA's status codes (Bierlich et al., arXiv:2203.11601, section 10.1.1) positive ones
        become 1 (final), -12 becomes 4 (beam), and all others their absolute value.

        Raises
        ------
        StatisticsError
            The batch is empty: PYTHIA could not generate.
        """
        if not len(batch):
            raise StatisticsError("PYTHIA gave no events; see its messages, and check the process")
        # Entry 0 stands for the event as a whole.
        record = batch.prt[:, 1:]
        vertex = {
            name: ak.fill_none(record.vProd[source], 0.0)
            for name, source in (("x", "px"), ("y", "py"), ("z", "pz"), ("t", "e"))
        }
        status = ak.where(record.status > 0, 1, ak.where(record.status == -12, 4, -record.status))
        momentum = {name: record.p[name] for name in ("px", "py", "pz", "e")}
        columns = {"pid": record.id, "status": status, "mother": record.mother1 - 1, "m": record.m}
        weight = batch.info.weights[:, 0]
        return cls.from_awkward(ak.zip(columns | momentum | vertex), ak.to_numpy(weight))


def read_generator_events(path: str | Path, chunk_events: int) -> Iterator[GeneratorEvents]:
    """Read generator events from Parquet, chunk by chunk.

    Parameters
    ----------
    path : str or Path
        One row an event; column ``particle`` is a list of records with the fields of
        `GeneratorEvents`, ``weight`` (optional) the event's weight.
    chunk_events : int
        Events a chunk.

    Raises
    ------
    InputError
        The file has no such column.
    """
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    if "particle" not in names:
        raise InputError(
            f"{path}: no column 'particle', only {', '.join(names)}; give generator events"
        )
    columns = [name for name in ("particle", "weight") if name in names]
    for batch in file.iter_batches(batch_size=chunk_events, columns=columns):
        weight = batch["weight"].to_numpy() if "weight" in columns else None
        yield GeneratorEvents.from_awkward(ak.from_arrow(batch)["particle"], weight)


def charge_of(pid: np.ndarray, charges: dict[int, int]) -> np.ndarray:
    """Electric charge by PDG id, integer part in units of e, int64.

    Hadrons from the quark digits of the Monte Carlo numbering scheme (PDG review, section 45):
    in a meson a heavier quark of down type is the antiquark. Quarks and diquarks get 0.

    Parameters
    ----------
    pid : int array
        PDG ids.
    charges : dict
        Charge by |PDG id|; wins over the digits.
    """
    ids, inverse = np.unique(pid, return_inverse=True)
    absolute = np.abs(ids)
    digits = [(absolute // 10**place) % 10 for place in (3, 2, 1)]
    third, second, first = (_THIRDS[digit] for digit in digits)
    meson = (second - first) * np.where(digits[1] % 2 == 0, 1, -1)
    baryon = third + second + first
    has_quarks = (digits[1] > 0) & (digits[2] > 0) & (absolute < 1_000_000)
    thirds = np.where(has_quarks, np.where(digits[0] == 0, meson, baryon), 0)
    charge = np.sign(thirds) * (np.abs(thirds) // 3)
    for particle, value in charges.items():
        charge[absolute == particle] = value
    return (charge * np.sign(ids))[inverse]


def is_known(pid: np.ndarray, unknown: list[list[int]]) -> np.ndarray:
    """False for ids inside one of the ranges of |PDG id| (ends included) in ``unknown``."""
    absolute = np.abs(pid)
    known = np.ones(len(pid), dtype=bool)
    for low, high in unknown:
        known &= (absolute < low) | (absolute > high)
    return known
