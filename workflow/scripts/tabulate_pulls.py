"""Write the pulls of all nuisance parameters on background-only Asimov data."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import write_csv
from cwolaflow.inference.fits import read_fits
from cwolaflow.inference.impacts import labelled
from cwolaflow.inference.pulls import asimov_pulls
from cwolaflow.inference.workspace import read_workspace

fits = read_fits(snakemake.input.limits, snakemake.input.workspaces)
tables = [asimov_pulls(read_workspace(path), tested=limit["median"]) for limit, path in fits]
write_csv(snakemake.output[0], labelled([limit for limit, _ in fits], tables))
