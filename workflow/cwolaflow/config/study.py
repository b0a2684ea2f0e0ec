"""The machine-wide config and the studies, with inheritance and semantic checks."""

import re
from pathlib import Path
from typing import Any

from cwolaflow.config.plan import metric_names, scored_classifier, trained_classifiers
from cwolaflow.config.validation import nearest, validate
from cwolaflow.config.yaml import read_yaml
from cwolaflow.errors import ConfigError


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Merge ``change`` into a copy of ``base``.

    Mappings are merged key by key, everything else is replaced, and ``null`` removes a key.
    """
    merged = dict(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def read_study(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a study merged into those that it extends, neither checked nor completed.

    Raises
    ------
    ConfigError
        A file cannot be read, or ``extends`` goes in a circle.
    """
    if path.resolve() in seen:
        raise ConfigError(f"{path}: `extends` leads back to itself; remove one of them")
    content = read_yaml(path)
    base = content.pop("extends", None)
    if base is None:
        return content
    return merge(read_study(path.parent / base, (*seen, path.resolve())), content)


def load_config(content: dict[str, Any], source: str | Path = "config/config.yaml") -> dict:
    """Check the machine-wide config and fill its defaults.

    Raises
    ------
    ConfigError
        Names every wrong key.
    """
    validate(content, "config", source)
    names = [Path(path).stem for path in content["studies"]]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ConfigError(
            f"{source}: 'studies': two files are called {sorted(repeated)[0]!r}; "
            "rename one, the name is the results folder"
        )
    return content


def load_study(path: str | Path) -> dict[str, Any]:
    """Read a study, with the studies that it extends, check it and fill its defaults.

    Returns
    -------
    dict
        The study with ``name`` set to the stem of the file.

    Raises
    ------
    ConfigError
        Names the file and every wrong key.
    """
    path = Path(path)
    study = read_study(path)
    validate(study, "study", path)
    problems = list(_semantic_problems(study))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", path.stem):
        problems.append("a study's file name may have letters, digits, - and _ only")
    if problems:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    return study | {"name": path.stem}


def _semantic_problems(study: dict[str, Any]):
    processes = study["processes"]
    roles = [process["role"] for process in processes.values()]
    for role in ("signal", "background"):
        if role not in roles:
            yield f"'processes' has no {role}"

    produced = study.get("produce", {}).get("samples", {})
    for name, sample in produced.items():
        if ("events" in sample) == ("lhe" in sample):
            yield f"'produce.samples.{name}' needs exactly one of: events, lhe"

    for name, library in study["represent"]["pile_up_libraries"].items():
        where = f"represent.pile_up_libraries.{name}"
        if ("files" in library) == ("sample" in library):
            yield f"'{where}' needs exactly one of: files, sample"
        elif "sample" in library:
            yield from _unknown(f"{where}.sample", [library["sample"]], produced)

    of_inputs = list(_problems_of_inputs(study))
    yield from of_inputs
    yield from _problems_of_constituents(study)
    yield from _problems_of_jets(study)
    if not of_inputs:
        yield from _problems_of_names(study)
    yield from _problems_of_features(study)

    represent = study["represent"]
    for kind in ("images", "sets"):
        for key, settings in represent[kind].items():
            if "pile_up" in settings:
                yield from _unknown(
                    f"represent.{kind}.{key}.pile_up.library",
                    [settings["pile_up"]["library"]],
                    represent["pile_up_libraries"],
                )

    for supervision, settings in study["supervision"].items():
        for role, shares in settings.get("mixture", {}).items():
            where = f"supervision.{supervision}.mixture.{role}"
            present = [p for p in processes if processes[p]["role"] == role]
            # A process of the paper that the study has no sample of may keep its share.
            mistyped = [n for n in shares if n not in present and nearest(n, list(processes))]
            yield from _unknown(where, mistyped, present)
            for name in present:
                if name not in shares:
                    yield f"{where!r} lacks process {name!r}; give its share"
        yield from _unknown(
            f"supervision.{supervision}.classifiers",
            settings.get("classifiers", []),
            study["classifiers"],
        )

    yield from _unknown("select.reweight", study["select"]["reweight"], processes)
    yield from _problems_of_test_folds(study)

    if "limits" in study:
        yield from _problems_of_limits(study)
        yield from _problems_of_systematics(study)
        yield from _problems_of_diagnostics(study)


def _problems_of_inputs(study: dict[str, Any]):
    for key, classifier in study["classifiers"].items():
        source = classifier["input"]
        if "set" in source:
            yield from _unknown(
                f"classifiers.{key}.input.set", [source["set"]], study["represent"]["sets"]
            )
        elif "image" in source:
            yield from _unknown(
                f"classifiers.{key}.input.image", [source["image"]], study["represent"]["images"]
            )
        elif "jets" in source:
            yield from _unknown(
                f"classifiers.{key}.input.jets", [source["jets"]], study["represent"]["jets"]
            )
        elif "scores_of" in source:
            yield from _problems_of_scores(study, key)


def _problems_of_names(study: dict[str, Any]):
    keys: dict[tuple[str, ...], str] = {}
    for key, names in metric_names(study).items():
        other = keys.setdefault(tuple(names.values()), key)
        if other != key:
            yield (
                f"'classifiers': {other!r} and {key!r} would be the same row of metrics.csv; give "
                f"one another 'network' than {names['classifier']!r}"
            )


def _problems_of_test_folds(study: dict[str, Any]):
    folds, test_folds = study["select"]["folds"], study["select"].get("test_folds", [])
    for fold in test_folds:
        if fold >= folds:
            yield (
                f"'select.test_folds': there is no fold {fold}, the {folds} folds are 0 to "
                f"{folds - 1}; correct it or raise 'select.folds'"
            )
    if set(range(folds)) <= set(test_folds):
        yield "'select.test_folds': leaves no fold to train on; take one out"
    if test_folds and "limits" in study:
        yield (
            "'select.test_folds': limits are set with the scores of all events, which the "
            "cross-fit alone gives; take it out, or 'limits'"
        )


def _problems_of_limits(study: dict[str, Any]):
    limits, processes = study["limits"], study["processes"]
    uncertainties = limits["cross_section_uncertainty"]
    for process in processes:
        if process not in uncertainties:
            yield f"missing key 'limits.cross_section_uncertainty.{process}'"
    yield from _unknown("limits.cross_section_uncertainty", uncertainties, processes)

    rows: dict[tuple[str, float], str] = {}
    for key, shape in limits["shapes"].items():
        other = rows.setdefault((shape["analysis"], shape["met_cut_gev"]), key)
        if other != key:
            yield (
                f"'limits.shapes': {other!r} and {key!r} would be the same row of limits.csv; "
                "change 'analysis' or 'met_cut_gev' of one"
            )

    clash = set(limits["shapes"]) & set(study["classifiers"])
    if clash:
        yield f"'limits.shapes' and 'classifiers' both have {sorted(clash)[0]!r}; rename one"


def _problems_of_systematics(study: dict[str, Any]):
    limits, classifiers = study["limits"], study["classifiers"]
    known = ["luminosity", "simulation", *(f"xs_{process}" for process in study["processes"])]
    for name, settings in limits["systematics"].items():
        where = f"limits.systematics.{name}"
        if name in (*known, limits["poi"]):
            yield f"{where!r}: the model has a parameter of this name; rename it"
        yield from _unknown(f"{where}.classifiers", settings["classifiers"], classifiers)
        for classifier in settings["classifiers"]:
            source = classifiers.get(classifier, {}).get("input", {"image": None})
            if "set" in source or "jets" in source:
                kind = "a set" if "set" in source else "jets"
                yield (
                    f"'{where}.classifiers': {classifier} reads {kind}, for which no energy scale "
                    "is defined: standardised in each event, it would not see one; take it out"
                )
            elif "image" not in source:
                yield (
                    f"'{where}.classifiers': {classifier} reads features, for which no energy "
                    "scale is defined; take it out"
                )
    yield from _unknown(
        "limits.switched_off", limits["switched_off"], [*known, *limits["systematics"]]
    )


def _problems_of_diagnostics(study: dict[str, Any]):
    diagnostics = study["limits"]["diagnostics"]
    analyses = [*study["limits"]["shapes"], *study["classifiers"]]
    for key in ("impacts", "pulls"):
        yield from _unknown(f"limits.diagnostics.{key}", diagnostics[key], analyses)
    if "pseudo_experiments" in diagnostics:
        settings = diagnostics["pseudo_experiments"]
        where = "limits.diagnostics.pseudo_experiments"
        yield from _unknown(f"{where}.analyses", settings["analyses"], analyses)
        if settings["luminosity_fb"] not in study["luminosities_fb"]:
            yield f"'{where}.luminosity_fb': is none of luminosities_fb; add it there"


def _problems_of_constituents(study: dict[str, Any]):
    sets = study["represent"]["sets"]
    for key, settings in sets.items():
        if "variance_over" in settings and settings["reference"] != "pt_centroid":
            yield (
                f"'represent.sets.{key}.variance_over': is for the reference pt_centroid only, "
                f"which is {settings['reference']}; take it out"
            )
    for key, classifier in study["classifiers"].items():
        where, source = f"classifiers.{key}", classifier["input"]
        if source.get("set") in sets:
            has_any = "decay_products" in sets[source["set"]]
            if has_any and "decay_products" not in source:
                yield (
                    f"missing key '{where}.input.decay_products': the set {source['set']!r} has "
                    "decay products; choose from with, without"
                )
            elif "decay_products" in source and not has_any:
                yield (
                    f"'{where}.input.decay_products': the set {source['set']!r} has none; take it "
                    f"out or add 'represent.sets.{source['set']}.decay_products'"
                )
        if "image" in source and "standardise_pt" in source:
            yield (
                f"'{where}.input.standardise_pt': is for particle lists, but images are rendered; "
                "take it out, pixels have 'image.standardise'"
            )
        augmentation = classifier["training"].get("augmentation")
        if augmentation is None:
            continue
        if "set" not in source:
            yield (
                f"'{where}.training.augmentation': only constituents can be changed; give it an "
                "input with a set, or take it out"
            )
        shift = augmentation.get("phi_shift", {"copies": 0, "angles": "random"})
        if shift["angles"] != "random" and len(shift["angles"]) != shift["copies"]:
            yield (
                f"'{where}.training.augmentation.phi_shift': has {len(shift['angles'])} angles for "
                f"{shift['copies']} copies; give one angle a copy, or random"
            )


def _problems_of_jets(study: dict[str, Any]):
    for key, classifier in study["classifiers"].items():
        reads, name = "jets" in classifier["input"], classifier["model"]["name"]
        if reads != (name == "jet_cnn"):
            yield (
                f"'classifiers.{key}.model.name': jet_cnn and input.jets belong together, but this "
                f"is {name} with {', '.join(classifier['input'])}; change one"
            )


def _problems_of_scores(study: dict[str, Any], key: str):
    classifiers, where = study["classifiers"], f"classifiers.{key}.input.scores_of"
    other = scored_classifier(study, key)
    if classifiers[key]["model"]["name"] != "gradient_boosting":
        yield f"{where!r}: is for gradient_boosting only; take it out or change the model"
    if other not in classifiers:
        yield from _unknown(f"{where}.classifier", [other], classifiers)
    elif classifiers[other]["model"]["name"] == "gradient_boosting":
        yield f"'{where}.classifier': {other} is boosted trees; name a network"


def _problems_of_features(study: dict[str, Any]):
    select = study["select"]
    further = select.get("features", [])
    if "vbf_higgs" in further and "decay_products" not in select:
        yield (
            "missing key 'select.decay_products': vbf_higgs makes the Higgs boson of them; "
            "give photons, leptons or both"
        )
    for key, classifier in study["classifiers"].items():
        where, source = f"classifiers.{key}", classifier["input"]
        for group in source.get("features", []):
            if group not in ("kinematic", "radiation", *further):
                yield (
                    f"'{where}.input.features': {group} is not in the event table; "
                    "add it to 'select.features'"
                )
        if classifier["model"]["name"] == "gradient_boosting" and "features" not in source:
            yield (
                f"'{where}.model.name': gradient_boosting reads features; "
                f"give '{where}.input.features', or another model"
            )
    for supervision, settings in study["supervision"].items():
        for key in trained_classifiers(study, supervision) if "fine_tune" in settings else ():
            if study["classifiers"][key]["model"]["name"] == "gradient_boosting":
                yield (
                    f"'supervision.{supervision}.fine_tune': {key} is boosted trees, which are not "
                    f"trained on; name others in 'supervision.{supervision}.classifiers'"
                )


def _unknown(where: str, names, known):
    for name in names:
        if name not in known:
            yield (
                f"{where!r}: unknown name {name!r}{nearest(name, list(known))}; "
                f"known are {', '.join(known) or 'none'}"
            )
