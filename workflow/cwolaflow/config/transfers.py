"""What a transfer takes over must be there, fit, and come from other events."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cwolaflow.config.plan import classifier_settings, is_transfer, trained_classifiers
from cwolaflow.config.samples import Sample
from cwolaflow.config.validation import nearest
from cwolaflow.errors import ConfigError
from cwolaflow.paths import is_remote

# What absent options of a set and of its input mean.
SET_DEFAULTS = {"order": "pt", "variance_over": "slots"}
INPUT_DEFAULTS = {"standardise_pt": "kind", "decay_products": "without"}
# A network may meet other decay products or pile-up than it was trained with.
FREE = ("decay_products", "removed_decay_products", "pile_up")


def check_transfers(
    studies: Mapping[str, dict[str, Any]], samples: Mapping[str, Mapping[str, Sample]]
) -> None:
    """Refuse transfers that cannot be done, or would test networks on events that trained them.

    Parameters
    ----------
    studies : mapping
        All studies of the config, from `load_study`, by name.
    samples : mapping
        Their samples, from `load_samples`.

    Raises
    ------
    ConfigError
        A source study is not loaded, has another network or input, or shares a sample.
    """
    for name, study in studies.items():
        problems = [
            f"'supervision.{supervision}.from': {problem}"
            for supervision in filter(is_transfer, study["supervision"])
            for problem in _problems(study, supervision, studies, samples)
        ]
        if problems:
            raise ConfigError(f"study {name!r}: " + "; ".join(problems))


def _problems(
    study: dict[str, Any],
    supervision: str,
    studies: Mapping[str, dict[str, Any]],
    samples: Mapping[str, Mapping[str, Sample]],
) -> Iterator[str]:
    settings = study["supervision"][supervision]["from"]
    if settings["study"] not in studies:
        yield (
            f"the study {settings['study']!r} is not in 'studies' of the config; add its file there"
        )
        return
    source = studies[settings["study"]]
    kinds = [kind for kind in source["supervision"] if not is_transfer(kind)]
    if settings["supervision"] not in kinds:
        yield (
            f"{source['name']} has no training {settings['supervision']!r}"
            f"{nearest(settings['supervision'], kinds)}; choose from {', '.join(kinds)}"
        )
    shared = _events(samples[study["name"]]).items() & _events(samples[source["name"]]).items()
    if shared:
        event_source = min(text for text, _ in shared)
        yield (
            f"{source['name']} has events of {event_source} too, so that its networks may have "
            "been trained on them; give the studies other samples"
        )
    for key in trained_classifiers(study, supervision):
        other = settings.get("classifier", key)
        if other not in source["classifiers"]:
            known = list(source["classifiers"])
            yield f"{source['name']} has no classifier {other!r}{nearest(other, known)}"
            continue
        here, there = _network_settings(study, key), _network_settings(source, other)
        for name in here | there:
            if here.get(name) != there.get(name):
                yield (
                    f"{name} of {other} in {source['name']} is {there.get(name)}, of {key} here "
                    f"{here.get(name)}; make them the same"
                )
                break


def _events(samples: Mapping[str, Sample]) -> dict[str, bool]:
    """What holds the events of a study: names of produced samples, and files."""
    found = {}
    for name, sample in samples.items():
        if sample.is_produced:
            found[f"the produced sample {name}"] = True
        for file in sample.files:
            found[file if is_remote(file) else str(Path(file).resolve())] = True
    return found


def _network_settings(study: dict[str, Any], key: str) -> dict[str, Any]:
    """Model of a classifier and all that shapes and frames its input."""
    classifier = classifier_settings(study, key)
    source = dict(classifier["input"])
    scored = source.pop("scores_of", None)
    settings = {"model": classifier["model"]} | _input_settings(study, source)
    if scored is not None:
        of_scored = _input_settings(study, dict(scored))
        settings |= {f"scores_of.{name}": value for name, value in of_scored.items()}
    return settings


def _input_settings(study: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    if "set" in source:
        represented = SET_DEFAULTS | study["represent"]["sets"][source.pop("set")]
        source = INPUT_DEFAULTS | source | {"kind": "set"}
    elif "image" in source:
        represented = study["represent"]["images"][source.pop("image")]
        source = {"kind": "image"}
    elif "jets" in source:
        represented = study["represent"]["jets"][source.pop("jets")]
        source = {"kind": "jets"}
    else:
        represented = {}
    settings = {f"input.{name}": value for name, value in source.items()}
    return settings | {
        f"representation.{name}": value for name, value in represented.items() if name not in FREE
    }
