"""Set the expected limit from the scores of one classifier."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table, write_json
from cwolaflow.inference.analysis import analyse
from cwolaflow.inference.workspace import write_workspace

binning = snakemake.params.scores
luminosity = float(snakemake.wildcards.lumi)
analysis = analyse(
    read_table(snakemake.input.scores),
    "score",
    binning,
    luminosity,
    snakemake.params.limits,
    snakemake.params.roles,
    channel=snakemake.wildcards.classifier,
    seed=snakemake.params.seed,
    varied={
        name: read_table(path)
        for name, path in zip(snakemake.params.systematics, snakemake.input.varied, strict=True)
    },
)
write_workspace(snakemake.output.workspace, analysis.workspace)
write_json(
    snakemake.output.limit,
    {
        "analysis": snakemake.wildcards.classifier,
        "supervision": snakemake.wildcards.supervision,
        "met_cut_gev": binning["met_cut_gev"],
        "luminosity_fb": luminosity,
        "seed": int(snakemake.wildcards.seed),
        **analysis.summary(),
    },
)
