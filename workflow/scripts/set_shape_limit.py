"""Set the expected limit from the shape of one variable."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_tables, write_json
from cwolaflow.inference.analysis import analyse
from cwolaflow.inference.workspace import write_workspace

shape = snakemake.params.shape
luminosity = float(snakemake.wildcards.lumi)
analysis = analyse(
    read_tables(snakemake.input.events),
    shape["variable"],
    shape,
    luminosity,
    snakemake.params.limits,
    snakemake.params.roles,
    channel=snakemake.wildcards.shape,
    seed=snakemake.params.seed,
)
write_workspace(snakemake.output.workspace, analysis.workspace)
write_json(
    snakemake.output.limit,
    {
        "analysis": shape["analysis"],
        "supervision": "none",
        "met_cut_gev": shape["met_cut_gev"],
        "luminosity_fb": luminosity,
        "seed": None,
        **analysis.summary(),
    },
)
