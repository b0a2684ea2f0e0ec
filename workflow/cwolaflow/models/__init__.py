"""Networks and decision trees: pure torch modules, chosen by name."""

from cwolaflow.models.committee import Committee, members_of
from cwolaflow.models.convolutional import ConvolutionalNetwork
from cwolaflow.models.dense import DenseNetwork
from cwolaflow.models.event_cnn import EventCNN
from cwolaflow.models.output import signal_logit, signal_score
from cwolaflow.models.particle_transformer import ParticleTransformer
from cwolaflow.models.registry import build_model, count_parameters, is_boosted
from cwolaflow.models.trees import BoostedTrees

__all__ = [
    "BoostedTrees",
    "Committee",
    "ConvolutionalNetwork",
    "DenseNetwork",
    "EventCNN",
    "ParticleTransformer",
    "build_model",
    "count_parameters",
    "is_boosted",
    "members_of",
    "signal_logit",
    "signal_score",
]
