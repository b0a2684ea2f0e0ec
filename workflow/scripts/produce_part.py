"""Generate one part of a sample and pass it through the detector."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.production.produce import part_settings, produce_part
from cwolaflow.seeds import derive_seed

production = snakemake.params.production
job = snakemake.wildcards
settings, events = part_settings(production, snakemake.input.les_houches)
produce_part(
    snakemake.input.card,
    settings,
    production["filter"],
    events,
    derive_seed(production["seed"], "produce", job.sample, job.part),
    snakemake.input.detector,
    snakemake.output.events,
    detector_changes=production["detector"]["changes"],
    parton_cuts=production.get("parton_cuts"),
    lepton_cuts=production.get("lepton_cuts"),
)
