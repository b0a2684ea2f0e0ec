"""Build the images of the leading jets of a sample."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.representation.build_jets import build_jet_images

build_jet_images(snakemake.input.skim, snakemake.params.jets, snakemake.output[0])
