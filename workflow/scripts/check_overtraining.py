"""Compare the scores of training events with those of held-out events."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table, read_tables, write_json
from cwolaflow.learning.crossfit import load_ensemble, score_training_events
from cwolaflow.learning.discrimination import overtraining
from cwolaflow.learning.inputs import load_inputs
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.regions import in_regions

job = snakemake.wildcards
events = in_regions(read_tables(snakemake.input.events), snakemake.params.regions)
ensemble = load_ensemble(snakemake.input.model)
trained = score_training_events(
    ensemble,
    events,
    load_inputs(snakemake.params.classifier["input"], events, snakemake.input.representation),
    snakemake.params.classifier["training"],
    snakemake.params.supervision,
    None if job.lumi == "all" else float(job.lumi),
    derive_seed(snakemake.params.seed, job.classifier, job.supervision, job.lumi, job.seed),
    snakemake.params.validation_fraction,
    threads=snakemake.threads,
    device=snakemake.config["device"],
)
held_out = read_table(snakemake.input.scores)
training = {
    "classifier": job.classifier,
    "supervision": job.supervision,
    "luminosity_fb": None if job.lumi == "all" else float(job.lumi),
    "seed": int(job.seed),
}
networks = (
    (table, held_out[held_out["fold"].isin(folds)])
    for table, folds in zip(trained, ensemble.held_out, strict=True)
)
write_json(snakemake.output[0], training | overtraining(networks))
