"""Write what every part of the statistical model does to the limits."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.files import write_csv
from cwolaflow.inference.fits import read_fits
from cwolaflow.inference.impacts import impact_rows
from cwolaflow.inference.workspace import read_workspace

fits = read_fits(snakemake.input.limits, snakemake.input.workspaces)
rows = impact_rows(
    [limit for limit, _ in fits],
    [read_workspace(path) for _, path in fits],
    snakemake.params.confidence_level,
)
write_csv(snakemake.output[0], pd.DataFrame(rows))
