"""A parametrised detector after Delphes' CMS card, vectorised over events."""

from cwolaflow.production.detector.card import DetectorCard, read_card
from cwolaflow.production.detector.output import run_detector, write_delphes
from cwolaflow.production.detector.particles import GeneratorEvents, read_generator_events
from cwolaflow.production.detector.simulation import simulate

__all__ = [
    "DetectorCard",
    "GeneratorEvents",
    "read_card",
    "read_generator_events",
    "run_detector",
    "simulate",
    "write_delphes",
]
