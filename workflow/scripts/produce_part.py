"""Generate one part of a sample and pass it through the detector."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.production.produce import produce_part

from cwolaflow.files import write_json
from cwolaflow.seeds import derive_seed

production = snakemake.params.production
job = snakemake.wildcards
provenance = produce_part(
    production,
    derive_seed(production["seed"], "produce", job.sample, job.part),
    snakemake.output.events,
)
write_json(snakemake.output.provenance, provenance)
