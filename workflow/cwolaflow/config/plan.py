"""Which productions, trainings, limits and figures a study consists of."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cwolaflow.errors import ConfigError

ALL_LUMINOSITIES = "all"
CONTROL = "cwola_control"
"""Name of the CWoLa training without signal that stands beside ``cwola`` in metrics.csv."""
AUGMENTATIONS = ("phi_shift", "pt_smear", "eta_phi_smear")
"""Kinds of copies in the order in which a label names them."""
PANELS, ROC_CURVES = 6, 10
"""Most panels, one a classifier, and most ROC curves, one a classifier, in a figure."""


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


def is_transfer(supervision: str) -> bool:
    """Whether networks come from another study: ``transfer`` and its variants ``transfer_...``."""
    return supervision == "transfer" or supervision.startswith("transfer_")


def is_trained(study: dict[str, Any], supervision: str) -> bool:
    """Whether networks are trained on the events of the study, and not taken as they are."""
    return not is_transfer(supervision) or "fine_tune" in study["supervision"][supervision]


def depends_on_luminosity(study: dict[str, Any], supervision: str) -> bool:
    """Whether a kind of training draws mixtures, here or in the study that it takes over from."""
    if not is_transfer(supervision):
        return is_cwola(supervision)
    source = study["supervision"][supervision]["from"]["supervision"]
    return is_trained(study, supervision) or is_cwola(source)


def training_luminosity(study: dict[str, Any], supervision: str, luminosity: str) -> str:
    """Luminosity label of the training that serves ``luminosity``."""
    return luminosity if depends_on_luminosity(study, supervision) else ALL_LUMINOSITIES


def transfer_source(study: dict[str, Any], job: Training) -> tuple[str, Training]:
    """Find the training that a transfer takes over: its study and itself.

    It has the seed of ``job`` and, where it depends on the luminosity, that of ``job``.
    """
    source = study["supervision"][job.supervision]["from"]
    luminosity = job.luminosity if is_cwola(source["supervision"]) else ALL_LUMINOSITIES
    classifier = source.get("classifier", job.classifier)
    return source["study"], Training(classifier, source["supervision"], luminosity, job.seed)


def trained_classifiers(study: dict[str, Any], supervision: str) -> list[str]:
    """Classifiers that a kind of training trains: all, or those that it names."""
    named = study["supervision"][supervision].get("classifiers")
    return [name for name in study["classifiers"] if named is None or name in named]


def scored_classifier(study: dict[str, Any], key: str) -> str | None:
    """Name the classifier whose scores another one reads; None where it reads none."""
    return study["classifiers"][key]["input"].get("scores_of", {}).get("classifier")


def classifier_settings(study: dict[str, Any], key: str) -> dict[str, Any]:
    """Give the settings of a classifier, with those of the one whose scores it reads.

    Returns
    -------
    dict
        ``input``, ``model`` and ``training``. With ``input.scores_of``, this has the input of the
        other classifier instead of its name, ``training.scores_of`` its training, and
        ``model.scores_of`` its ``model`` and the number of ``networks``.
    """
    classifier = {name: study["classifiers"][key][name] for name in ("input", "model", "training")}
    scored = scored_classifier(study, key)
    if scored is None:
        return classifier
    other = study["classifiers"][scored]
    of = {
        "input": other["input"],
        "model": {"model": other["model"], "networks": classifier["input"]["scores_of"]["parts"]},
        "training": other["training"],
    }
    return {name: value | {"scores_of": of[name]} for name, value in classifier.items()}


def augmentation_label(config: Mapping[str, Any] | None) -> str:
    """Name the copies of training events: ``none``, or ``+5`` for five of any random φ."""
    if not config:
        return "none"
    shift = config.get("phi_shift", {})
    parts = []
    for kind in (kind for kind in AUGMENTATIONS if kind in config):
        text = f"+{config[kind]['copies']}"
        if kind != "phi_shift":
            text += f" {kind}"
        elif shift.get("angles", "random") != "random":
            text += " at fixed angles"
        parts.append(text)
    without = " without originals" if shift.get("originals") == "drop" else ""
    return " and ".join(parts) + without


def decay_products_of(study: dict[str, Any], key: str) -> str:
    """Whether an input is ``with`` or ``without`` decay products; empty where it has no choice."""
    source = study["classifiers"][key]["input"]
    groups = source.get("features", [])
    if "vbf_higgs" in groups:
        return "with"
    if "vbf_jets" in groups:
        scored = scored_classifier(study, key)
        return (scored and decay_products_of(study, scored)) or "without"
    if "jets" in source:
        jets = study["represent"]["jets"][source["jets"]]
        return "without" if "removed_decay_products" in jets else "with"
    return source.get("decay_products", "")


def metric_names(study: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What tells the classifiers apart in metrics.csv.

    Returns
    -------
    dict
        By key of the classifier: ``classifier``, ``decay_products`` (``with``, ``without``, empty
        where the input has none) and ``augmentation``.
    """
    return {
        key: {
            "classifier": classifier.get("network", key),
            "decay_products": decay_products_of(study, key),
            "augmentation": augmentation_label(classifier["training"].get("augmentation")),
        }
        for key, classifier in study["classifiers"].items()
    }


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
        depends = depends_on_luminosity(study, supervision)
        labels = luminosity_labels(study) if depends else [ALL_LUMINOSITIES]
        for classifier in trained_classifiers(study, supervision):
            for luminosity in labels:
                for seed in settings["seeds"]:
                    yield Training(classifier, supervision, luminosity, seed)


def _pages(classifiers: Iterable[str], networks: Mapping[str, str], size: int) -> list[list[str]]:
    """Divide classifiers into pages of at most ``size``, those of one network side by side."""
    variants: dict[str, list[str]] = {}
    for name in classifiers:
        variants.setdefault(networks[name], []).append(name)
    pages: list[list[str]] = [[]]
    for names in variants.values():
        for start in range(0, len(names), size):
            chunk = names[start : start + size]
            if len(pages[-1]) + len(chunk) > size:
                pages.append([])
            pages[-1] += chunk
    return pages


def _named_pages(
    study: dict[str, Any], supervision: str, networks: Mapping[str, str], size: int
) -> Iterator[tuple[str, list[str]]]:
    """Pages of the classifiers of one kind of training, and how their figures are called."""
    pages = _pages(trained_classifiers(study, supervision), networks, size)
    for number, page in enumerate(pages, start=1):
        yield (supervision if len(pages) == 1 else f"{supervision}_page{number}"), page


def roc_figures(study: dict[str, Any]) -> dict[str, list[Training]]:
    """Trainings whose ROC curves share a figure.

    A figure shows one kind of training; where that depends on the luminosity, the supervised
    training of the same classifiers too. Many classifiers have several figures.

    Returns
    -------
    dict
        By name of the figure, ``<supervision>`` or ``<supervision>_page<n>``: trainings in the
        order of `trainings`.
    """
    jobs = list(trainings(study))
    networks = {key: names["classifier"] for key, names in metric_names(study).items()}
    figures: dict[str, list[Training]] = {}
    for supervision in study["supervision"]:
        is_mixed = depends_on_luminosity(study, supervision)
        shown = {supervision, "supervised"} if is_mixed else {supervision}
        size = PANELS if is_mixed else ROC_CURVES
        for name, page in _named_pages(study, supervision, networks, size):
            figures[name] = [
                job for job in jobs if job.supervision in shown and job.classifier in page
            ]
    return figures


def first_trainings(study: dict[str, Any]) -> list[Training]:
    """Of each kind of training and classifier the one at the first luminosity and seed."""
    first: dict[tuple[str, str], Training] = {}
    for job in trainings(study):
        first.setdefault((job.supervision, job.classifier), job)
    return list(first.values())


def score_figures(study: dict[str, Any]) -> dict[str, list[Training]]:
    """Trainings whose score distributions share a figure: the first ones, a panel each.

    Returns
    -------
    dict
        By name of the figure, as `roc_figures` names them.
    """
    networks = {key: names["classifier"] for key, names in metric_names(study).items()}
    jobs = {(job.supervision, job.classifier): job for job in first_trainings(study)}
    return {
        name: [jobs[supervision, key] for key in page]
        for supervision in study["supervision"]
        for name, page in _named_pages(study, supervision, networks, PANELS)
    }


def rendered_inputs(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Inputs that are images rendered of a set, by the first classifier that has each."""
    found: dict[str, dict[str, Any]] = {}
    for key, classifier in study["classifiers"].items():
        source = classifier["input"]
        if "set" in source and "image" in source and source not in found.values():
            found[key] = source
    return found


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
