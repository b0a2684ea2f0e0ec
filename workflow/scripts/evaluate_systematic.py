"""Score every event with all pixels off by a common factor."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_tables, write_table
from cwolaflow.learning.crossfit import load_ensemble
from cwolaflow.learning.inputs import load_inputs
from cwolaflow.learning.systematics import score_energy_scale

events = read_tables(snakemake.input.events)
scores = score_energy_scale(
    load_ensemble(snakemake.input.model),
    load_inputs(snakemake.params.source, events, snakemake.input.representation),
    events,
    snakemake.params.size,
    threads=snakemake.threads,
    device=snakemake.config["device"],
)
write_table(snakemake.output[0], scores)
