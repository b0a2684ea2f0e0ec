"""Scores of the same events as a mismeasured detector would give them."""

from typing import Any

import pandas as pd

from cwolaflow.errors import ConfigError
from cwolaflow.learning.crossfit import TrainedEnsemble, score_crossfit
from cwolaflow.learning.inputs import Inputs
from cwolaflow.representation.images import SparseImages


def score_energy_scale(
    ensemble: TrainedEnsemble, inputs: Inputs, events: pd.DataFrame, size: float, **settings: Any
) -> pd.DataFrame:
    """Score all events with the energy of all pixels off by ±``size``, coherently.

    The networks and the scale that their training found for pixels stay as they are; so do
    events, weights and folds.

    Parameters
    ----------
    ensemble : TrainedEnsemble
    inputs : Inputs
        Images, not scaled.
    events : DataFrame
        Event table: ``sample``, ``event_id``, ``fold``.
    size : float
        Relative.
    **settings
        Of `crossfit.score_crossfit`.

    Returns
    -------
    DataFrame
        ``sample``, ``event_id``, and the scores ``up`` and ``down``, float32.

    Raises
    ------
    ConfigError
        The inputs are no images.
    """
    if not isinstance(inputs, SparseImages):
        raise ConfigError(
            "limits.systematics: an energy scale is defined for classifiers that read images only"
        )
    fold = events["fold"].to_numpy()
    return events[["sample", "event_id"]].assign(
        up=score_crossfit(ensemble, inputs.times(1 + size), fold, **settings),
        down=score_crossfit(ensemble, inputs.times(1 - size), fold, **settings),
    )
