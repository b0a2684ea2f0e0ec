"""Write the pulls of all nuisance parameters on background-only Asimov data."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_csv
from cwolaflow.inference.impacts import labelled
from cwolaflow.inference.pulls import asimov_pulls
from cwolaflow.inference.workspace import read_workspace

limits = [read_json(path) for path in snakemake.input.limits]
tables = [
    asimov_pulls(read_workspace(path), tested=limit["median"])
    for path, limit in zip(snakemake.input.workspaces, limits, strict=True)
]
write_csv(snakemake.output[0], labelled(limits, tables))
