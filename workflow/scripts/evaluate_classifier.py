"""Score every test event with a network that has not seen it, and measure the classifier."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, read_tables, write_json, write_table
from cwolaflow.learning.crossfit import load_ensemble, score_crossfit, score_training_events
from cwolaflow.learning.discrimination import overtraining
from cwolaflow.learning.evaluate import evaluate, score_table
from cwolaflow.learning.inputs import load_inputs
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.regions import in_regions

job, params = snakemake.wildcards, snakemake.params
luminosity_fb = None if job.lumi == "all" else float(job.lumi)
where = {"threads": snakemake.threads, "device": snakemake.config["device"]}
events = in_regions(read_tables(snakemake.input.events), params.regions)
inputs = load_inputs(params.classifier["input"], events, snakemake.input.representation)
ensemble, fold = load_ensemble(snakemake.input.model), events["fold"].to_numpy()
scores = score_table(
    events, score_crossfit(ensemble, inputs, fold, **where), ensemble.is_test(fold)
)
metrics = {
    "classifier": job.classifier,
    "supervision": job.supervision,
    "luminosity_fb": luminosity_fb,
    "seed": int(job.seed),
    **evaluate(scores, read_json(snakemake.input.training)),
    "overtraining": None,
}
if params.is_trained:
    trained = score_training_events(
        ensemble,
        events,
        inputs,
        params.classifier["training"],
        params.supervision,
        luminosity_fb,
        derive_seed(params.seed, job.classifier, job.supervision, job.lumi, job.seed),
        params.validation_fraction,
        **where,
    )
    metrics["overtraining"] = overtraining(trained, scores, ensemble.held_out)
write_table(snakemake.output.scores, scores)
write_json(snakemake.output.metrics, metrics)
