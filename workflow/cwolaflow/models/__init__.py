"""Networks: pure torch modules, chosen by name."""

from cwolaflow.models.convolutional import ConvolutionalNetwork
from cwolaflow.models.dense import DenseNetwork
from cwolaflow.models.event_cnn import EventCNN
from cwolaflow.models.output import signal_logit, signal_score
from cwolaflow.models.particle_transformer import ParticleTransformer
from cwolaflow.models.registry import build_model, count_parameters

__all__ = [
    "ConvolutionalNetwork",
    "DenseNetwork",
    "EventCNN",
    "ParticleTransformer",
    "build_model",
    "count_parameters",
    "signal_logit",
    "signal_score",
]
