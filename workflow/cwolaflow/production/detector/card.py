"""The detector card: YAML to compiled tables."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cwolaflow.errors import ConfigError
from cwolaflow.production.detector.calorimeter import Calorimeter, TowerGrid
from cwolaflow.production.detector.formula import BinnedFormula, compile_formula
from cwolaflow.production.detector.jets import Tagger
from cwolaflow.production.detector.tracking import TRACK_CLASSES, TrackingTable

_CONE = {"delta_r_max": float, "pt_min": float, "ratio_max": float}
_CALORIMETER = {
    "grid": list,
    "energy_min": float,
    "significance_min": float,
    "energy_fractions": {"default": float, "by_id": dict},
    "resolution": list,
}
_OBJECT = {"efficiency": list, "isolation": _CONE}
_STRUCTURE = {
    "particles": {"charges": dict, "unknown": list},
    "propagation": {
        "radius": float,
        "half_length": float,
        "magnetic_field": float,
        "pt_min": float,
    },
    "tracking": {name: {"efficiency": list, "resolution": list} for name in TRACK_CLASSES},
    "calorimeters": {"ecal": _CALORIMETER, "hcal": _CALORIMETER},
    "photons": _OBJECT,
    "electrons": _OBJECT,
    "muons": _OBJECT,
    "jets": {"radius": float, "pt_min": float, "energy_scale": str},
    "fat_jets": {"radius": float, "pt_min": float},
    "flavour": {"delta_r_max": float, "parton_pt_min": float, "parton_abs_eta_max": float},
    "b_tag": {"default": str, "by_flavour": dict},
    "tau_tag": {
        "delta_r_max": float,
        "tau_pt_min": float,
        "tau_abs_eta_max": float,
        "default": str,
        "by_flavour": dict,
    },
}


@dataclass(frozen=True)
class DetectorCard:
    """A card ready for use; ``settings`` holds the YAML as it was read (for provenance)."""

    settings: dict
    tracking: dict[str, TrackingTable]
    calorimeters: dict[str, Calorimeter]
    efficiency: dict[str, BinnedFormula]
    energy_scale: Callable
    b_tag: Tagger
    tau_tag: Tagger


def read_card(path: str | Path, changes: dict | None = None) -> DetectorCard:
    """Read a card.

    Parameters
    ----------
    path : str or Path
        YAML; see ``resources/detector/cms.yaml``.
    changes : dict, optional
        Nested values that replace those of the card, for instance ``{"jets": {"radius": 0.4}}``.

    Raises
    ------
    ConfigError
        A key is missing, unknown or of the wrong kind, or a formula is wrong.
    """
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path}: detector card not readable ({reason})") from error
    settings = _merged(settings, changes or {}, str(path))
    _check(settings, _STRUCTURE, str(path))
    tracking = {
        name: TrackingTable(
            *(
                BinnedFormula(
                    settings["tracking"][name][key], ("pt", "eta"), f"{path}: tracking.{name}.{key}"
                )
                for key in ("efficiency", "resolution")
            )
        )
        for name in TRACK_CLASSES
    }
    calorimeters = {
        name: _calorimeter(values, f"{path}: calorimeters.{name}")
        for name, values in settings["calorimeters"].items()
    }
    efficiency = {
        name: BinnedFormula(
            settings[name]["efficiency"], ("pt", "eta"), f"{path}: {name}.efficiency"
        )
        for name in ("photons", "electrons", "muons")
    }
    return DetectorCard(
        settings=settings,
        tracking=tracking,
        calorimeters=calorimeters,
        efficiency=efficiency,
        energy_scale=compile_formula(
            settings["jets"]["energy_scale"], ("pt", "eta"), f"{path}: jets.energy_scale"
        ),
        b_tag=_tagger(settings["b_tag"], f"{path}: b_tag"),
        tau_tag=_tagger(settings["tau_tag"], f"{path}: tau_tag"),
    )


def _merged(settings: Any, changes: dict, where: str) -> dict:
    if not isinstance(settings, dict):
        raise ConfigError(f"{where}: expected a mapping of settings, found {settings!r}")
    result = dict(settings)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value, f"{where}: {key}") if nested else value
    return result


def _check(settings: Any, structure: dict, where: str) -> None:
    if not isinstance(settings, dict):
        raise ConfigError(f"{where}: expected the keys {', '.join(structure)}, found {settings!r}")
    for problem, keys in (
        ("missing", structure.keys() - settings.keys()),
        ("unknown", settings.keys() - structure.keys()),
    ):
        if keys:
            known = ", ".join(structure)
            raise ConfigError(f"{where}: key {min(keys)!r} is {problem}; keys: {known}")
    for key, kind in structure.items():
        value = settings[key]
        if key == "fat_jets" and value is None:
            continue
        if isinstance(kind, dict):
            _check(value, kind, f"{where}: {key}")
        elif not isinstance(value, _ACCEPTED[kind]) or isinstance(value, bool):
            raise ConfigError(f"{where}: {key} is {value!r}; expected a {_WORDS[kind]}")


_ACCEPTED = {float: (int, float), str: (str, int, float), list: list, dict: dict}
_WORDS = {float: "number", str: "formula", list: "list", dict: "mapping"}


def _calorimeter(values: dict, where: str) -> Calorimeter:
    return Calorimeter(
        grid=TowerGrid(values["grid"], f"{where}.grid"),
        energy_min=values["energy_min"],
        significance_min=values["significance_min"],
        fraction_default=values["energy_fractions"]["default"],
        fraction_by_id=values["energy_fractions"]["by_id"],
        resolution=BinnedFormula(values["resolution"], ("energy", "eta"), f"{where}.resolution"),
    )


def _tagger(values: dict, where: str) -> Tagger:
    return Tagger(
        compile_formula(values["default"], ("pt", "eta"), f"{where}.default"),
        {
            flavour: compile_formula(formula, ("pt", "eta"), f"{where}.by_flavour.{flavour}")
            for flavour, formula in values["by_flavour"].items()
        },
    )
