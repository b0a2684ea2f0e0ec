"""Pack the limits and their workspaces for HEPData."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.hepdata import write_submission
from cwolaflow.inference.fits import read_fits
from cwolaflow.tables import read_limits

write_submission(
    snakemake.output[0],
    read_limits(snakemake.input.limits),
    read_fits(snakemake.input.fits, snakemake.input.workspaces),
    title=snakemake.params.title,
    parameter=snakemake.params.poi,
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
    confidence_level=snakemake.params.confidence_level,
)
