"""Which productions, trainings and limits a study consists of."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cwolaflow.errors import ConfigError

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


def production_parts(study: dict[str, Any], sample: str) -> int:
    """Number of parts in which a study produces a sample."""
    settings = study["produce"]["samples"][sample]
    if "lhe" in settings:
        return len(settings["lhe"]["files"])
    return -(-settings["events"] // study["produce"]["events_per_part"])


def productions(studies: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """How the samples of several studies are produced.

    Parts are the same whatever their number, so that studies of different size share them.

    Returns
    -------
    dict
        By sample: its settings without the number of events, ``events_per_part``, ``detector``
        and the study's ``seed``.

    Raises
    ------
    ConfigError
        Two studies produce a sample of one name in different ways.
    """
    found: dict[str, dict[str, Any]] = {}
    for study in studies:
        produce = study.get("produce", {"samples": {}})
        for sample, settings in produce["samples"].items():
            production = {key: value for key, value in settings.items() if key != "events"}
            production |= {
                "events_per_part": produce["events_per_part"],
                "detector": produce["detector"],
                "seed": study["seed"],
            }
            if found.setdefault(sample, production) != production:
                raise ConfigError(
                    f"study {study['name']!r}: 'produce.samples.{sample}' differs from that of "
                    "another study; rename the sample or run the studies apart"
                )
    return found


def luminosity_labels(study: dict[str, Any]) -> list[str]:
    """Luminosities in fb⁻¹ as they stand in paths."""
    return [f"{luminosity:.10g}" for luminosity in study["luminosities_fb"]]


def is_cwola(supervision: str) -> bool:
    """Whether a kind of training draws mixtures: ``cwola`` and its variants ``cwola_...``."""
    return supervision == "cwola" or supervision.startswith("cwola_")


def training_luminosity(supervision: str, luminosity: str) -> str:
    """Luminosity label of the training that serves ``luminosity``."""
    return luminosity if is_cwola(supervision) else ALL_LUMINOSITIES


def trained_classifiers(study: dict[str, Any], supervision: str) -> list[str]:
    """Classifiers that a kind of training trains: all, or those that it names."""
    named = study["supervision"][supervision].get("classifiers")
    return [name for name in study["classifiers"] if named is None or name in named]


def mixture_notes(
    mixture: Mapping[str, Mapping[str, float]] | None, processes: Collection[str]
) -> list[str]:
    """Say what a mixture has a share for but the study has no process.

    Parameters
    ----------
    mixture : mapping or None
        Shares by process under ``signal`` and ``background``.
    processes : collection of str
        Those that are there.

    Returns
    -------
    list of str
        One sentence a class with an absent process.
    """
    notes = []
    for role, shares in (mixture or {}).items():
        absent = {name: share for name, share in shares.items() if name not in processes}
        if absent:
            part = sum(absent.values()) / sum(shares.values())
            notes.append(
                f"{role} without {', '.join(absent)} ({100 * part:.3g}% of the published "
                "mixture): no such samples; the shares of the others are scaled up to 1"
            )
    return notes


def trainings(study: dict[str, Any]) -> Iterator[Training]:
    """All trainings of a study, each once."""
    for supervision, settings in study["supervision"].items():
        labels = luminosity_labels(study) if is_cwola(supervision) else [ALL_LUMINOSITIES]
        for classifier in trained_classifiers(study, supervision):
            for luminosity in labels:
                for seed in settings["seeds"]:
                    yield Training(classifier, supervision, luminosity, seed)


def limits(study: dict[str, Any]) -> Iterator[Limit]:
    """All limits of a study: every shape and every training, at every luminosity.

    There are none in a study without ``limits``.
    """
    if "limits" not in study:
        return
    for luminosity in luminosity_labels(study):
        for shape in study["limits"]["shapes"]:
            yield Limit(shape, "none", luminosity, None)
        for supervision, settings in study["supervision"].items():
            for classifier in trained_classifiers(study, supervision):
                for seed in settings["seeds"]:
                    yield Limit(classifier, supervision, luminosity, seed)


def diagnosed(study: dict[str, Any], analyses: Iterable[str]) -> Iterator[Limit]:
    """Limits of some shapes and classifiers, at every luminosity, of the first seed each."""
    analyses = set(analyses)
    for job in limits(study):
        first = None if job.seed is None else study["supervision"][job.supervision]["seeds"][0]
        if job.analysis in analyses and job.seed == first:
            yield job


def shape_systematics(study: dict[str, Any], classifier: str) -> Iterator[str]:
    """Shape uncertainties of a classifier's score that are not switched off."""
    for name, settings in study["limits"]["systematics"].items():
        off = name in study["limits"]["switched_off"]
        if classifier in settings["classifiers"] and not off:
            yield name
