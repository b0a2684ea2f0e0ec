"""Build the particle sets of a sample."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.representation.sets import build_sets

build_sets(snakemake.input[0], snakemake.params.set, snakemake.output[0])
