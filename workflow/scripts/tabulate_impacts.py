"""Write what every part of the statistical model does to the limits."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.files import read_json, write_csv
from cwolaflow.inference.impacts import impact_rows
from cwolaflow.inference.workspace import read_workspace

rows = impact_rows(
    [read_json(path) for path in snakemake.input.limits],
    [read_workspace(path) for path in snakemake.input.workspaces],
    snakemake.params.confidence_level,
)
write_csv(snakemake.output[0], pd.DataFrame(rows))
