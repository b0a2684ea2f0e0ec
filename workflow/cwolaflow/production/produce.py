"""One part of a sample: PYTHIA, then the detector, then a Delphes file and its provenance."""

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cwolaflow.files import write_json
from cwolaflow.logs import progress
from cwolaflow.production.detector import GeneratorEvents, read_card, run_detector
from cwolaflow.production.filters import PartonFilter, PhaseSpace
from cwolaflow.production.generator import BATCH_EVENTS, Generator, card_hash, pythia_seed
from cwolaflow.production.hidden_valley import dark_jet_settings

_PACKAGES = ("pythia8mc", "fastjet", "awkward", "numpy", "uproot")

LES_HOUCHES_FILE = "Beams:LHEF"

log = logging.getLogger(__name__)


def part_settings(
    production: Mapping[str, Any], les_houches_file: str | Path | None = None
) -> tuple[dict[str, Any], int]:
    """PYTHIA settings and number of events of one part of a sample.

    Parameters
    ----------
    production : mapping
        One of the study's ``produce.samples`` with ``events_per_part``.
    les_houches_file : str or Path, optional
        Events to shower in this part.
    """
    settings = dict(production["settings"])
    if "hidden_valley" in production:
        settings |= dark_jet_settings(**production["hidden_valley"])
    if les_houches_file:
        settings[LES_HOUCHES_FILE] = str(les_houches_file)
        return settings, production["lhe"]["events_per_file"]
    return settings, production["events_per_part"]


def produce_part(
    card: str | Path,
    settings: Mapping[str, Any],
    event_filter: Mapping[str, Any],
    events: int,
    seed: int,
    detector_card: str | Path,
    output: str | Path,
    detector_changes: Mapping[str, Any] | None = None,
    parton_cuts: Mapping[str, Any] | None = None,
    lepton_cuts: Mapping[str, Any] | None = None,
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
    detector_changes : mapping, optional
        Settings of the detector card to change, see `read_card`.
    parton_cuts, lepton_cuts : mapping, optional
        Phase space of the process, see `PartonCuts` and `LeptonCuts`.

    Returns
    -------
    dict
        The provenance: ``sigma_pb`` and ``sigma_error_pb`` are what the events of the file stand
        for, cuts and filter included; ``tried`` hard processes within the cuts gave ``accepted``
        events.

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
    detector = read_card(detector_card, dict(detector_changes or {}))
    cuts = PhaseSpace.from_config(parton_cuts, lepton_cuts)
    generator = Generator(card, settings, parton_filter, seed, cuts)
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
        "detector_changes": dict(detector_changes or {}),
        "settings": {k: str(value) for k, value in settings.items() if k != LES_HOUCHES_FILE},
        "les_houches_file": settings.get(LES_HOUCHES_FILE),
        "filter": dict(event_filter),
        "parton_cuts": dict(parton_cuts or {}),
        "lepton_cuts": dict(lepton_cuts or {}),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    write_json(Path(output).with_suffix(".json"), provenance)
    log.info(
        "%s: %d events of %d tried, %.4g pb", output, events, cross_section.tried, cross_section.pb
    )
    return provenance


def _with_progress(generator: Generator, events: int, name: str) -> Iterator[GeneratorEvents]:
    batches = generator.batches(events)
    number = math.ceil(events / BATCH_EVENTS)
    return progress(batches, f"produce {name}", total=number, unit="batches")
