"""Reading and checking of the config, the studies and the sample tables."""

from cwolaflow.config.code import code_version
from cwolaflow.config.samples import Sample, load_pile_up_libraries, load_samples
from cwolaflow.config.study import load_config, load_study
from cwolaflow.config.transfers import check_transfers

__all__ = [
    "Sample",
    "check_transfers",
    "code_version",
    "load_config",
    "load_pile_up_libraries",
    "load_samples",
    "load_study",
]
