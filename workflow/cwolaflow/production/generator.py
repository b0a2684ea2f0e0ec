"""Events from PYTHIA 8 by a text card."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pythia8mc

from cwolaflow.errors import ConfigError, InputError, StatisticsError
from cwolaflow.production.detector.particles import GeneratorEvents
from cwolaflow.production.filters import PartonFilter, PhaseSpace, filter_settings, make_hook
from cwolaflow.seeds import derive_seed

PB_PER_MB = 1e9
BATCH_EVENTS = 250
MAX_SEED = 900_000_000
_MAX_FAILED_FRACTION = 0.1
_SETTLED_HERE = ("random:seed", "random:setseed", "main:numberofevents")
_LHE_FRAME = 4


@dataclass(frozen=True)
class CrossSection:
    """What PYTHIA knows of the cross section after the events generated so far.

    Parameters
    ----------
    tried : int
        Hard processes that the filter looked at, all within the cuts on partons and leptons.
    accepted : int
        Those generated to their end.
    pb, error_pb : float
        Of the accepted events, cuts and filter included, and its statistical error.
    """

    tried: int
    accepted: int
    pb: float
    error_pb: float


class Generator:
    """PYTHIA 8, set up by a card.

    Parameters
    ----------
    card : str or Path
        PYTHIA command file, one setting a line.
    settings : mapping, optional
        Further settings, read after the card; True and False stand for on and off.
    event_filter : PartonFilter, optional
        Which events to drop early.
    seed : int
        Any integer; the random sequence of PYTHIA follows from it.
    cuts : PhaseSpace, optional
        Phase space of the process.

    Raises
    ------
    ConfigError
        A setting that PYTHIA does not know or that has an impossible value, or settings that do
        not give a process.
    InputError
        The card or the Les Houches file cannot be read.
    """

    def __init__(
        self,
        card: str | Path,
        settings: Mapping[str, Any] | None = None,
        event_filter: PartonFilter | None = None,
        seed: int = 0,
        cuts: PhaseSpace | None = None,
    ):
        self.card = Path(card)
        self.event_filter = event_filter or PartonFilter()
        self._pythia = pythia8mc.Pythia("", False)
        self._apply("Print:quiet = on", "cwolaflow")
        for place, line in _card_lines(self.card):
            self._apply(line, place)
        for name, value in (settings or {}).items():
            self._apply(f"{name} = {_as_text(value)}", f"setting {name}")
        for line in (
            "Random:setSeed = on",
            f"Random:seed = {pythia_seed(seed)}",
            *filter_settings(self.event_filter),
        ):
            self._set(line)
        # PYTHIA only borrows the hook: it must live as long as this object.
        self._hook = make_hook(self.event_filter, cuts or PhaseSpace())
        if self._hook is not None:
            self._pythia.setUserHooksPtr(self._hook)
        self._lhe = self._les_houches_file()
        if not self._pythia.init():
            if self._lhe is not None:
                raise InputError(f"{self._lhe}: no Les Houches event file; check or replace it")
            raise ConfigError(
                f"{self.card}: PYTHIA cannot start with it; is a process switched on, and has it "
                "a cross section within the phase-space cuts and decays given?"
            )

    def batches(self, events: int, batch_events: int = BATCH_EVENTS) -> Iterator[GeneratorEvents]:
        """Generate events, at most ``batch_events`` held at a time.

        The events are the same however they are cut into batches.

        Raises
        ------
        StatisticsError
            The Les Houches file ends too early, or PYTHIA fails for more than a tenth of them.
        """
        made = failed = 0
        while made < events:
            wanted = min(batch_events, events - made)
            batch = self._pythia.nextBatch(wanted)
            made += len(batch)
            if len(batch) < wanted and self._pythia.infoPython().atEndOfFile():
                raise StatisticsError(
                    f"{self._lhe}: {_end_of(self._lhe)} after {made} accepted events, and "
                    f"{events} were asked for; ask for fewer or give another file"
                )
            failed += wanted - len(batch)
            if failed > max(10, _MAX_FAILED_FRACTION * (made + failed)):
                raise StatisticsError(
                    f"{self.card}: PYTHIA failed for {failed} of {made + failed} events; "
                    "change the process, its settings or its filter"
                )
            if len(batch):
                yield GeneratorEvents.from_pythia(batch)

    @property
    def cross_section(self) -> CrossSection:
        """Cross section of the events generated so far."""
        info = self._pythia.infoPython()
        outside = 0 if self._hook is None else self._hook.outside
        return CrossSection(
            tried=info.nSelected() - outside,
            accepted=info.nAccepted(),
            pb=info.sigmaGen() * PB_PER_MB,
            error_pb=info.sigmaErr() * PB_PER_MB,
        )

    def _set(self, line: str) -> bool:
        return self._pythia.readString(line, False)

    def _apply(self, line: str, place: str) -> None:
        name = line.split("=")[0].strip()
        if name.lower() in _SETTLED_HERE:
            raise ConfigError(f"{place}: '{name}' is set by the workflow; take it out")
        if not self._set(line):
            raise ConfigError(
                f"{place}: PYTHIA does not take '{line}'; look the name and the allowed values up "
                "in its manual"
            )

    def _les_houches_file(self) -> str | None:
        if self._pythia.settings.mode("Beams:frameType") != _LHE_FRAME:
            return None
        path = self._pythia.settings.word("Beams:LHEF")
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file; name a Les Houches file in Beams:LHEF")
        return path


def pythia_seed(seed: int) -> int:
    """Seed in 1 ... 900000000, all that PYTHIA takes, from any integer."""
    return derive_seed(seed, "pythia") % MAX_SEED + 1


def card_hash(card: str | Path) -> str:
    """SHA-256 of a card's settings; comments and empty lines do not count."""
    text = "\n".join(line for _, line in _card_lines(Path(card)))
    return hashlib.sha256(text.encode()).hexdigest()


def _card_lines(card: Path) -> list[tuple[str, str]]:
    """Settings of a card, each with its file and line number."""
    try:
        lines = card.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{card}: not readable as a PYTHIA card ({error}); name one") from error
    stripped = ((number, line.split("!")[0].strip()) for number, line in enumerate(lines, 1))
    return [(f"{card}:{number}", line) for number, line in stripped if line[:1] not in ("", "#")]


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _end_of(path: str) -> str:
    """Say whether a Les Houches file that gives no more events is whole."""
    opener = gzip.open if path.endswith(".gz") else open
    last = b""
    try:
        with opener(path, "rb") as file:
            while chunk := file.read(1 << 20):
                last = (last + chunk)[-200:]
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "damaged"
    return "ends" if b"</LesHouchesEvents>" in last else "damaged: breaks off"
