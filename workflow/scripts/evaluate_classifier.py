"""Score every test event with a network that has not seen it, and measure the classifier."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, read_tables, write_json, write_table
from cwolaflow.learning.crossfit import load_ensemble, score_crossfit
from cwolaflow.learning.evaluate import evaluate, score_table
from cwolaflow.learning.inputs import load_inputs
from cwolaflow.selection.regions import in_regions

job = snakemake.wildcards
events = in_regions(read_tables(snakemake.input.events), snakemake.params.regions)
ensemble, fold = load_ensemble(snakemake.input.model), events["fold"].to_numpy()
scores = score_table(
    events,
    score_crossfit(
        ensemble,
        load_inputs(snakemake.params.source, events, snakemake.input.representation),
        fold,
        threads=snakemake.threads,
        device=snakemake.config["device"],
    ),
    ensemble.is_test(fold),
)
training = {
    "classifier": job.classifier,
    "supervision": job.supervision,
    "luminosity_fb": None if job.lumi == "all" else float(job.lumi),
    "seed": int(job.seed),
}
write_table(snakemake.output.scores, scores)
write_json(
    snakemake.output.metrics, training | evaluate(scores, read_json(snakemake.input.training))
)
