"""Write the separation of all features and network outputs."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, read_table, read_tables, write_csv
from cwolaflow.learning.discrimination import separation_table
from cwolaflow.representation.feature_groups import FEATURE_GROUPS

events = read_tables(snakemake.input.events)
groups = [group for group in FEATURE_GROUPS.values() if set(group) <= set(events)]
table = separation_table(
    events,
    list(dict.fromkeys(name for group in groups for name in group)),
    map(read_json, snakemake.input.metrics),
    map(read_table, snakemake.input.scores),
)
write_csv(snakemake.output[0], table)
