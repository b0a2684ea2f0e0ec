"""One part of a sample: PYTHIA, then the detector, then a Delphes file and its provenance."""

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cwolaflow.errors import InputError
from cwolaflow.files import write_json
from cwolaflow.logs import progress
from cwolaflow.production.detector import GeneratorEvents, read_card, run_detector
from cwolaflow.production.filters import PartonFilter
from cwolaflow.production.generator import BATCH_EVENTS, Generator, card_hash, pythia_seed

_PACKAGES = ("pythia8mc", "fastjet", "awkward", "numpy", "uproot")
_SAME_IN_ALL_PARTS = ("process_card_sha256", "detector_card_sha256", "settings", "filter")

log = logging.getLogger(__name__)


def produce_part(
    card: str | Path,
    settings: Mapping[str, Any],
    event_filter: Mapping[str, Any],
    events: int,
    seed: int,
    detector_card: str | Path,
    output: str | Path,
) -> dict[str, Any]:
    """Generate and simulate events and write them as a ``Delphes`` tree.

    Memory does not grow with the number of events. Both files are written atomically.

    Parameters
    ----------
    card : str or Path
        PYTHIA card.
    settings : mapping
        Further PYTHIA settings, see `Generator`.
    event_filter : mapping
        See `PartonFilter`; empty for none.
    events : int
        Events in the file, after the filter.
    seed : int
        Of this part; another part of the sample needs another one.
    detector_card : str or Path
    output : str or Path
        ROOT file; the provenance goes beside it with suffix ``.json``.

    Returns
    -------
    dict
        The provenance: ``sigma_pb`` and ``sigma_error_pb`` are what the events of the file stand
        for, filter included; ``tried`` hard processes gave ``accepted`` events.

    Raises
    ------
    ConfigError
        A card, setting or filter is wrong.
    InputError
        A file cannot be read.
    StatisticsError
        Not enough events could be generated.
    """
    parton_filter = PartonFilter.from_config(event_filter)
    detector = read_card(detector_card)
    generator = Generator(card, settings, parton_filter, seed)
    run_detector(output, _with_progress(generator, events, Path(output).stem), detector, seed)
    cross_section = generator.cross_section
    provenance = {
        "events": events,
        "tried": cross_section.tried,
        "accepted": cross_section.accepted,
        "sigma_pb": cross_section.pb,
        "sigma_error_pb": cross_section.error_pb,
        "seed": seed,
        "pythia_seed": pythia_seed(seed),
        "process_card": Path(card).name,
        "process_card_sha256": card_hash(card),
        "detector_card": Path(detector_card).name,
        "detector_card_sha256": hashlib.sha256(Path(detector_card).read_bytes()).hexdigest(),
        "settings": {name: str(value) for name, value in settings.items()},
        "filter": dict(event_filter),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    write_json(Path(output).with_suffix(".json"), provenance)
    log.info(
        "%s: %d events of %d tried, %.4g pb", output, events, cross_section.tried, cross_section.pb
    )
    return provenance


def combine_provenance(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Cross section and number of events of a sample's parts together.

    Every part estimates the same cross section; its weight is the number of events it tried.

    Parameters
    ----------
    parts : sequence of mapping
        What `produce_part` returned.

    Returns
    -------
    dict
        ``cross_section_pb``, ``error_pb``, ``events``.

    Raises
    ------
    InputError
        There are no parts, they were not made alike, or two have the same seed.
    """
    if not parts:
        raise InputError("no parts to combine; produce at least one")
    for name in _SAME_IN_ALL_PARTS:
        if any(part[name] != parts[0][name] for part in parts):
            raise InputError(
                f"parts of {parts[0]['process_card']} differ in {name}; delete them and run again"
            )
    seeds = [part["seed"] for part in parts]
    if len(set(seeds)) < len(seeds):
        raise InputError(
            f"parts of {parts[0]['process_card']} share a seed, so their events are the same; "
            "give each its own"
        )
    tried = sum(part["tried"] for part in parts)
    return {
        "cross_section_pb": sum(part["tried"] * part["sigma_pb"] for part in parts) / tried,
        "error_pb": math.hypot(*(part["tried"] * part["sigma_error_pb"] for part in parts)) / tried,
        "events": sum(part["events"] for part in parts),
    }


def _with_progress(generator: Generator, events: int, name: str) -> Iterator[GeneratorEvents]:
    batches = generator.batches(events)
    number = math.ceil(events / BATCH_EVENTS)
    return progress(batches, f"produce {name}", total=number, unit="batches")
