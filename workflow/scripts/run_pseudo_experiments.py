"""Set observed limits on pseudo-data with an injected signal, and count their coverage."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_csv
from cwolaflow.inference.impacts import LABELS, labelled
from cwolaflow.inference.pseudo_data import coverage, pseudo_experiments
from cwolaflow.inference.workspace import read_workspace
from cwolaflow.seeds import derive_seed

settings = snakemake.params.settings
limits = [read_json(path) for path in snakemake.input.limits]
tables = [
    pseudo_experiments(
        read_workspace(path),
        settings["injected"],
        settings["number"],
        derive_seed(snakemake.params.seed, "pseudo_experiments", *map(str, labels)),
        snakemake.params.confidence_level,
    )
    for path, labels in zip(
        snakemake.input.workspaces,
        ([limit[key] for key in LABELS] for limit in limits),
        strict=True,
    )
]
experiments = labelled(limits, tables)
write_csv(snakemake.output.experiments, experiments)
write_csv(snakemake.output.coverage, coverage(experiments))
