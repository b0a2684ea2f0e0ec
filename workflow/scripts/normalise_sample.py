"""Write what a sample stands for: from its table, or from the generator that produced it."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_json
from cwolaflow.normalisation import with_generated_cross_section

row = snakemake.params.sample_row
parts = [read_json(path) for path in snakemake.input.provenance]
write_json(snakemake.output[0], with_generated_cross_section(row, parts) if parts else row)
