"""Write the metrics of all trainings, with published numbers beside them."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_csv
from cwolaflow.tables import Published, load_published, metrics_table

published = snakemake.input.published
table = metrics_table(
    map(read_json, snakemake.input.metrics),
    snakemake.params.names,
    load_published(published) if published else Published(),
)
write_csv(snakemake.output[0], table)
