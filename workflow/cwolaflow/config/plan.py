"""Which trainings and limits a study consists of."""

from collections.abc import Iterator
from typing import Any, NamedTuple

ALL_LUMINOSITIES = "all"


class Training(NamedTuple):
    """One trained classifier; ``luminosity`` is ``all`` where training does not depend on it."""

    classifier: str
    supervision: str
    luminosity: str
    seed: int


class Limit(NamedTuple):
    """One limit; ``supervision`` is ``none`` and ``seed`` None where nothing is trained."""

    analysis: str
    supervision: str
    luminosity: str
    seed: int | None


def luminosity_labels(study: dict[str, Any]) -> list[str]:
    """Luminosities in fb⁻¹ as they stand in paths."""
    return [f"{luminosity:.10g}" for luminosity in study["luminosities_fb"]]


def training_luminosity(supervision: str, luminosity: str) -> str:
    """Luminosity label of the training that serves ``luminosity``."""
    return luminosity if supervision == "cwola" else ALL_LUMINOSITIES


def trainings(study: dict[str, Any]) -> Iterator[Training]:
    """All trainings of a study, each once."""
    for supervision, settings in study["supervision"].items():
        labels = luminosity_labels(study) if supervision == "cwola" else [ALL_LUMINOSITIES]
        for classifier in study["classifiers"]:
            for luminosity in labels:
                for seed in settings["seeds"]:
                    yield Training(classifier, supervision, luminosity, seed)


def limits(study: dict[str, Any]) -> Iterator[Limit]:
    """All limits of a study: every shape and every training, at every luminosity."""
    for luminosity in luminosity_labels(study):
        for shape in study["limits"]["shapes"]:
            yield Limit(shape, "none", luminosity, None)
        for supervision, settings in study["supervision"].items():
            for classifier in study["classifiers"]:
                for seed in settings["seeds"]:
                    yield Limit(classifier, supervision, luminosity, seed)
