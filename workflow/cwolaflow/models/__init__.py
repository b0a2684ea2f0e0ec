"""Networks and decision trees: pure torch modules, chosen by name."""

from cwolaflow.models.committee import Committee, members_of
from cwolaflow.models.convolutional import ConvolutionalNetwork
from cwolaflow.models.dense import DenseNetwork
from cwolaflow.models.event_cnn import EventCNN
from cwolaflow.models.jet_cnn import JetCNN
from cwolaflow.models.output import signal_logit, signal_score
from cwolaflow.models.particle_transformer import ParticleTransformer
from cwolaflow.models.registry import build_model, count_parameters, is_boosted
from cwolaflow.models.stacked_trees import StackedTrees, network_scores
from cwolaflow.models.trees import BoostedTrees

__all__ = [
    "BoostedTrees",
    "Committee",
    "ConvolutionalNetwork",
    "DenseNetwork",
    "EventCNN",
    "JetCNN",
    "ParticleTransformer",
    "StackedTrees",
    "build_model",
    "count_parameters",
    "is_boosted",
    "members_of",
    "network_scores",
    "signal_logit",
    "signal_score",
]
