"""Build the sparse tower images of a sample."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.representation.build_images import build_images

build_images(
    snakemake.input.skim,
    snakemake.params.image,
    snakemake.output[0],
    pile_up_library=snakemake.input.pile_up or None,
    pile_up_seed=snakemake.params.pile_up_seed,
)
