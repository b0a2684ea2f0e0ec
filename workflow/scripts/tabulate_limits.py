"""Write the limits of all analyses, with published numbers beside them."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_csv
from cwolaflow.tables import Published, limits_table, load_published

published = snakemake.input.published
table = limits_table(
    map(read_json, snakemake.input.limits), load_published(published) if published else Published()
)
write_csv(snakemake.output[0], table)
