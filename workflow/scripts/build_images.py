"""Build the sparse tower images of a sample."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.representation.images import build_images

build_images(snakemake.input[0], snakemake.params.image, snakemake.output[0])
