"""Set the expected limits from the shape of one variable, at every luminosity."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_tables
from cwolaflow.inference.analysis import analyse_each
from cwolaflow.inference.fits import write_fits

shape = snakemake.params.shape
fits = analyse_each(
    snakemake.params.luminosities_fb,
    {
        "analysis": shape["analysis"],
        "supervision": "none",
        "met_cut_gev": shape["met_cut_gev"],
        "seed": None,
    },
    events=read_tables(snakemake.input.events),
    variable=shape["variable"],
    binning=shape,
    limits=snakemake.params.limits,
    roles=snakemake.params.roles,
    channel=snakemake.wildcards.shape,
    seed=snakemake.params.seed,
)
write_fits(snakemake.output.limits, snakemake.output.workspaces, fits)
