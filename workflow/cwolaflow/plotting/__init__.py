"""Figures: each function takes tables or arrays and returns a matplotlib Figure.

Nothing is fitted or selected here, so that a changed plot option never reruns physics.
"""

from cwolaflow.plotting.cutflow import cutflow_efficiencies
from cwolaflow.plotting.distributions import stacked_distribution
from cwolaflow.plotting.images import average_images
from cwolaflow.plotting.labels import (
    VARIABLES,
    Variable,
    analysis_label,
    feature_variable,
    score_variable,
)
from cwolaflow.plotting.limits import limit_bands
from cwolaflow.plotting.roc import RocBand, roc_curves
from cwolaflow.plotting.style import FORMATS, save_figure

__all__ = [
    "FORMATS",
    "VARIABLES",
    "RocBand",
    "Variable",
    "analysis_label",
    "average_images",
    "cutflow_efficiencies",
    "feature_variable",
    "limit_bands",
    "roc_curves",
    "save_figure",
    "score_variable",
    "stacked_distribution",
]
