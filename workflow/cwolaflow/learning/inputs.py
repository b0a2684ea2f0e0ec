"""Inputs of classifiers, one small interface for features, images and sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
import torch

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.representation.feature_groups import FEATURE_GROUPS
from cwolaflow.representation.images import SparseImages
from cwolaflow.representation.jets import JetImages
from cwolaflow.representation.rendering import RenderedImages
from cwolaflow.representation.sets import ParticleSets

Scaler = dict[str, torch.Tensor]


class Inputs(Protocol):
    """Inputs of many events, made dense one batch at a time."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What `models.build_model` needs to know."""

    def __len__(self) -> int:
        """Count the events."""

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give the model's arguments for the events ``indices`` (int64), on the CPU."""

    def fit_scaler(self, rows: np.ndarray) -> Scaler:
        """Find the scale of the inputs from the events ``rows`` alone."""

    def scaled(self, scaler: Scaler) -> Self:
        """Give the inputs in that scale."""


class FeatureTable:
    """High-level features.

    Parameters
    ----------
    features : float32 tensor, shape (n_events, n_features)
    """

    def __init__(self, features: torch.Tensor) -> None:
        self.features = features

    @classmethod
    def from_events(cls, events: pd.DataFrame, groups: Sequence[str]) -> Self:
        """Take the features of some groups from an event table.

        Raises
        ------
        ConfigError
            A group is unknown.
        InputError
            The table lacks a feature, or a value is not finite.
        """
        unknown = [group for group in groups if group not in FEATURE_GROUPS]
        if unknown:
            raise ConfigError(
                f"'input.features': group {unknown[0]!r} is unknown; "
                f"choose from {', '.join(FEATURE_GROUPS)}"
            )
        # Groups may overlap.
        names = list(dict.fromkeys(name for group in groups for name in FEATURE_GROUPS[group]))
        absent = [name for name in names if name not in events]
        if absent:
            raise InputError(
                f"event table: has no column {absent[0]!r}; give the groups of 'input.features' "
                "in 'select.features' too and make it again"
            )
        values = events[names].to_numpy(np.float32, copy=True)
        finite = np.isfinite(values).all(axis=0)
        if not finite.all():
            raise InputError(
                f"event table: {names[int(np.argmin(finite))]!r} is not finite in some events; "
                "make the event table again"
            )
        return cls(torch.from_numpy(values))

    def __len__(self) -> int:
        return len(self.features)

    @property
    def input_shape(self) -> tuple[int]:
        """Number of features."""
        return (self.features.shape[1],)

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give the features of some events, shape (n, n_features)."""
        return (self.features[indices],)

    def fit_scaler(self, rows: np.ndarray) -> Scaler:
        """Find mean and population standard deviation; the latter is 1 for a constant feature."""
        features = self.features[torch.from_numpy(rows)].double()
        mean, std = features.mean(0), features.std(0, correction=0)
        constant = std <= 1e-6 * mean.abs()
        return {"mean": mean.float(), "std": torch.where(constant, 1.0, std).float()}

    def scaled(self, scaler: Scaler) -> Self:
        """Give (features - mean) / std."""
        return type(self)((self.features - scaler["mean"]) / scaler["std"])


class StackedInputs:
    """Features, and beside them the inputs of a network whose scores join the features.

    Parameters
    ----------
    features : FeatureTable
    scored : Inputs
        Of the network, for the same events.
    """

    def __init__(self, features: FeatureTable, scored: Inputs) -> None:
        self.features, self.scored = features, scored

    def __len__(self) -> int:
        return len(self.features)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Number of features, then the shape of one event's input of the network."""
        return *self.features.input_shape, *self.scored.input_shape

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give the features of some events, shape (n, n_features), and the network's arguments."""
        return *self.features.batch(indices), *self.scored.batch(indices)

    def fit_scaler(self, rows: np.ndarray) -> dict[str, Scaler]:
        """Find the scales of both."""
        return {part: getattr(self, part).fit_scaler(rows) for part in ("features", "scored")}

    def scaled(self, scaler: dict[str, Scaler]) -> Self:
        """Give both in their scales."""
        return type(self)(
            self.features.scaled(scaler["features"]), self.scored.scaled(scaler["scored"])
        )


def _read(
    input_config: dict[str, Any], files: Sequence[str | Path]
) -> tuple[str, Inputs, np.ndarray]:
    if "set" in input_config:
        options = {key: value for key, value in input_config.items() if key != "set"}
        image = options.pop("image", None)
        if image is None:
            return "set", *ParticleSets.read(files, **options)
        return "set", *RenderedImages.read(files, **options, **image)
    if "image" in input_config:
        return "image", *SparseImages.read(files)
    if "jets" in input_config:
        return "jets", *JetImages.read(files)
    raise ConfigError(f"'input': {input_config} has none of: features, image, jets, set")


def load_inputs(
    input_config: dict[str, Any], events: pd.DataFrame, files: Sequence[str | Path] = ()
) -> Inputs:
    """Load what a classifier takes.

    Parameters
    ----------
    input_config : dict
        ``{"features": [group, ...]}``, ``{"image": name}``, ``{"jets": name}`` or
        ``{"set": name}``; a set may have options of `ParticleSets`, or ``image`` with those of
        `RenderedImages`; features may have ``scores_of``, the input of a network.
    events : DataFrame
        Event tables of all samples, one after the other.
    files : sequence of str or Path
        Image, jet or set files, in the same order of samples; none for features alone.

    Raises
    ------
    ConfigError
        The input is of no known kind.
    InputError
        The files are damaged or hold other events than the event tables.
    """
    if "features" in input_config:
        features = FeatureTable.from_events(events, input_config["features"])
        if "scores_of" not in input_config:
            return features
        return StackedInputs(features, load_inputs(input_config["scores_of"], events, files))
    kind, inputs, event_id = _read(input_config, files)
    if not np.array_equal(event_id, events["event_id"].to_numpy()):
        raise InputError(
            f"{kind} {input_config[kind]!r}: its {len(event_id)} events are not the "
            f"{len(events)} of the event tables in their order; make both again"
        )
    return inputs
