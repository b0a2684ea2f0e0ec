"""Write the limits of all analyses, with published numbers beside them."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_csv
from cwolaflow.tables import Published, limits_table, load_published, precision_table

published = snakemake.input.published
limits = [limit for path in snakemake.input.limits for limit in read_json(path)]
table = limits_table(limits, load_published(published) if published else Published())
write_csv(snakemake.output.precision, precision_table(limits))
write_csv(snakemake.output.limits, table)
