"""From Delphes ROOT files to weakly supervised classifiers and CLs limits."""

__version__ = "0.1.0"
