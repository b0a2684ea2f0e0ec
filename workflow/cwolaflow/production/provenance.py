"""What the parts of a produced sample say of themselves, put together."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cwolaflow.errors import InputError

SAME_IN_ALL_PARTS = (
    "process_card_sha256",
    "detector_card_sha256",
    "detector_changes",
    "filter",
    "parton_cuts",
    "lepton_cuts",
)


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
        ``cross_section_pb`` and ``error_pb``, filter included; ``filter_efficiency``, accepted
        over tried; ``events``.

    Raises
    ------
    InputError
        There are no parts, they were not made alike, or two have the same seed.
    """
    if not parts:
        raise InputError("no parts to combine; produce at least one")
    for name in SAME_IN_ALL_PARTS:
        if any(part.get(name) != parts[0].get(name) for part in parts):
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
        "filter_efficiency": sum(part["accepted"] for part in parts) / tried,
        "events": sum(part["events"] for part in parts),
    }
