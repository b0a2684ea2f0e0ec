"""Objects that the cuts count: a collection, its acceptance and perhaps a tag."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import awkward as ak
import numpy as np

from cwolaflow.columns import Events
from cwolaflow.errors import ConfigError
from cwolaflow.expressions import nearest
from cwolaflow.selection.variables import Variable

COLLECTIONS = {
    "electrons": "electron",
    "muons": "muon",
    "leptons": "lepton",
    "photons": "photon",
    "jets": "jet",
    "tracks": "track",
}
TAGS = {"tau": "jet_tau_tag", "b": "jet_b_tag"}


def object_counts(objects: Mapping[str, Mapping[str, Any]]) -> dict[str, Variable]:
    """Turn the study's objects into event variables ``n_<object>``.

    Parameters
    ----------
    objects : mapping
        ``skim.objects``: per object a ``collection``, and optionally ``pt_min`` (GeV),
        ``abs_eta_max`` and ``tag``. An object counts if pT > pt_min and \\|η\\| < abs_eta_max and,
        with a tag, any bit of the tag is set.

    Raises
    ------
    ConfigError
        Unknown collection or tag, or a tag on something other than jets.
    """
    return {f"n_{name}": _count(name, rule) for name, rule in objects.items()}


def _count(name: str, rule: Mapping[str, Any]) -> Variable:
    key = f"skim.objects.{name}"
    collection, tag = rule["collection"], rule.get("tag")
    if collection not in COLLECTIONS:
        raise ConfigError(
            f"{key}.collection: no collection '{collection}'; {nearest(collection, COLLECTIONS)}"
        )
    if tag is not None and tag not in TAGS:
        raise ConfigError(f"{key}.tag: no tag '{tag}'; {nearest(tag, TAGS)}")
    if tag is not None and collection != "jets":
        raise ConfigError(f"{key}.tag: only jets are tagged, not {collection}; remove the tag")
    prefix = COLLECTIONS[collection]
    columns = (f"{prefix}_pt", f"{prefix}_eta", *([TAGS[tag]] if tag else []))
    return Variable(columns, partial(_counted, rule=rule, columns=columns))


def _counted(events: Events, rule: Mapping[str, Any], columns: tuple[str, ...]) -> np.ndarray:
    pt, eta, *tags = (events[column] for column in columns)
    counts = (pt > rule.get("pt_min", 0)) & (abs(eta) < rule.get("abs_eta_max", np.inf))
    for tag in tags:
        counts = counts & (tag != 0)
    return ak.to_numpy(ak.sum(counts, axis=1))
