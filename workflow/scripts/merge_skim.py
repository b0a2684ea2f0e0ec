"""Join the skimmed parts of a sample."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_json
from cwolaflow.selection.skimmed import merge_skims

cutflow = merge_skims(
    snakemake.input.events,
    [read_json(path) for path in snakemake.input.cutflows],
    snakemake.output.events,
)
write_json(snakemake.output.cutflow, cutflow)
