"""Set observed limits on pseudo-data with an injected signal, and count their coverage."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import write_csv
from cwolaflow.inference.fits import read_fits
from cwolaflow.inference.impacts import LABELS, labelled
from cwolaflow.inference.pseudo_data import coverage, pseudo_experiments
from cwolaflow.inference.workspace import read_workspace
from cwolaflow.seeds import derive_seed

settings = snakemake.params.settings
fits = [
    (limit, path)
    for limit, path in read_fits(snakemake.input.limits, snakemake.input.workspaces)
    if limit["luminosity_fb"] == settings["luminosity_fb"]
]
tables = [
    pseudo_experiments(
        read_workspace(path),
        settings["injected"],
        settings["number"],
        derive_seed(
            snakemake.params.seed, "pseudo_experiments", *(str(limit[key]) for key in LABELS)
        ),
        snakemake.params.confidence_level,
    )
    for limit, path in fits
]
experiments = labelled([limit for limit, _ in fits], tables)
write_csv(snakemake.output.experiments, experiments)
write_csv(snakemake.output.coverage, coverage(experiments))
