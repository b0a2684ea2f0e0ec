"""Writing a ``Delphes`` tree."""

from collections.abc import Iterable
from pathlib import Path

import awkward as ak
import uproot

from cwolaflow.errors import StatisticsError
from cwolaflow.files import atomic_path
from cwolaflow.production.detector.card import DetectorCard
from cwolaflow.production.detector.particles import GeneratorEvents
from cwolaflow.production.detector.simulation import simulate
from cwolaflow.seeds import derive_seed


def write_delphes(path: str | Path, batches: Iterable[dict[str, ak.Array]]) -> int:
    """Write collections as a ``Delphes`` TTree, batch by batch and atomically.

    Branches are called as Delphes calls them: ``Jet.PT``, jagged, with the counter ``Jet_size``.

    Parameters
    ----------
    path : str or Path
        ROOT file.
    batches : iterable of dict
        What `simulate` returns; all with the same collections.

    Returns
    -------
    int
        Number of events.

    Raises
    ------
    StatisticsError
        There is no batch.
    """
    events = 0
    with atomic_path(path) as temporary:
        with uproot.recreate(temporary, compression=uproot.ZSTD(3)) as file:
            tree = None
            for batch in batches:
                if tree is None:
                    tree = file.mktree(
                        "Delphes",
                        {name: array.type.content for name, array in batch.items()},
                        title="Analysis tree",
                        counter_name=lambda collection: f"{collection}_size",
                        field_name=lambda collection, field: f"{collection}.{field}",
                    )
                tree.extend(batch)
                events += len(batch["Event"])
        if not events:
            raise StatisticsError(f"{path}: no events to write; generate at least one")
    return events


def run_detector(
    path: str | Path, batches: Iterable[GeneratorEvents], card: DetectorCard, seed: int
) -> int:
    """Pass batches of generator events through the detector and write them as a ``Delphes`` tree.

    Parameters
    ----------
    path : str or Path
        ROOT file, written atomically.
    batches : iterable of GeneratorEvents
        Read one at a time; how the events are cut into batches is part of the random sequence.
    card : DetectorCard
    seed : int

    Returns
    -------
    int
        Number of events.
    """
    return write_delphes(path, _simulated(batches, card, seed))


def _simulated(
    batches: Iterable[GeneratorEvents], card: DetectorCard, seed: int
) -> Iterable[dict[str, ak.Array]]:
    first_event = 0
    for number, generated in enumerate(batches):
        yield simulate(generated, card, derive_seed(seed, "detector", number), first_event)
        first_event += len(generated)
