"""Set the expected limits from the scores of one training, at every luminosity that it serves."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table
from cwolaflow.inference.analysis import analyse_each
from cwolaflow.inference.fits import write_fits

binning = snakemake.params.scores
fits = analyse_each(
    snakemake.params.luminosities_fb,
    {
        "analysis": snakemake.wildcards.classifier,
        "supervision": snakemake.wildcards.supervision,
        "met_cut_gev": binning["met_cut_gev"],
        "seed": int(snakemake.wildcards.seed),
    },
    events=read_table(snakemake.input.scores),
    variable="score",
    binning=binning,
    limits=snakemake.params.limits,
    roles=snakemake.params.roles,
    channel=snakemake.wildcards.classifier,
    seed=snakemake.params.seed,
    varied={
        name: read_table(path)
        for name, path in zip(snakemake.params.systematics, snakemake.input.varied, strict=True)
    },
)
write_fits(snakemake.output.limits, snakemake.output.workspaces, fits)
