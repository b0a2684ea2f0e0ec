"""Write the separation of all features and network outputs."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, read_table, read_tables, write_csv
from cwolaflow.learning.discrimination import separation_table
from cwolaflow.representation.features import FEATURE_GROUPS

features = [name for group in FEATURE_GROUPS.values() for name in group]
table = separation_table(
    read_tables(snakemake.input.events),
    features,
    map(read_json, snakemake.input.metrics),
    map(read_table, snakemake.input.scores),
)
write_csv(snakemake.output[0], table)
