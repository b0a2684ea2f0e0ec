"""Make the event table of a sample: weights, regions, folds and high-level features."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_table
from cwolaflow.representation.events import build_event_table

table = build_event_table(
    snakemake.input.skim,
    read_json(snakemake.input.cutflow),
    read_json(snakemake.input.normalisation),
    snakemake.params.role,
    snakemake.params.select,
    snakemake.params.seed,
    snakemake.params.reweighting,
)
write_table(snakemake.output.events, table)
