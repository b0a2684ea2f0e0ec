"""Build the minimum-bias tower library of a pile-up configuration."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.representation.pile_up_library import build_library

build_library(snakemake.params.files, snakemake.output[0])
