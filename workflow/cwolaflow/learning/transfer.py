"""Networks of another study, as they are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from cwolaflow.learning.crossfit import HISTORY, TrainedEnsemble
from cwolaflow.selection.folds import held_out_folds

MIXTURE = ("n_m1", "n_m2", "f1", "f2", "signal_scale")


def transfer(
    source: TrainedEnsemble,
    summary: dict[str, Any],
    folds: int,
    test_folds: Sequence[int] | None = None,
) -> tuple[TrainedEnsemble, pd.DataFrame, dict[str, Any]]:
    """Apply trained networks to the events of another study, unchanged.

    No network has seen an event of that study: each scores all of its test events, those of
    ``test_folds`` or, in a cross-fitted study, of all folds. The score of an event is the mean
    over networks. Scalers travel with their networks.

    Parameters
    ----------
    source : TrainedEnsemble
    summary : dict
        Of `crossfit.train_crossfit`, for ``source``.
    folds : int
        Number of folds of the study.
    test_folds : sequence of int, optional
        Its ``select.test_folds``.

    Returns
    -------
    ensemble : TrainedEnsemble
    history : DataFrame
        Without rows, as nothing is trained; columns as of `crossfit.train_crossfit`.
    summary : dict
        That of the source, its mixtures under ``source_mixture`` as none are drawn here.
    """
    scored = tuple(fold for group in held_out_folds(folds, test_folds) for fold in group)
    ensemble = replace(source, held_out=[scored] * len(source.models), folds=folds)
    history = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in HISTORY.items()})
    none_drawn = dict.fromkeys(MIXTURE) | {"signal_scale": 1.0, "folds": []}
    source_mixture = {name: summary[name] for name in MIXTURE}
    return ensemble, history, summary | none_drawn | {"source_mixture": source_mixture}
