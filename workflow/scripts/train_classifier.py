"""Train a classifier: one network per fold, each on the events of the other folds."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_tables, write_json, write_table
from cwolaflow.learning.crossfit import save_ensemble, train_crossfit
from cwolaflow.learning.inputs import load_inputs
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.regions import in_regions

job = snakemake.wildcards
events = in_regions(read_tables(snakemake.input.events), snakemake.params.regions)
ensemble, history, summary = train_crossfit(
    events,
    load_inputs(snakemake.params.classifier["input"], events, snakemake.input.representation),
    snakemake.params.classifier,
    snakemake.params.supervision,
    None if job.lumi == "all" else float(job.lumi),
    derive_seed(snakemake.params.seed, job.classifier, job.supervision, job.lumi, job.seed),
    snakemake.params.folds,
    snakemake.params.validation_fraction,
    threads=snakemake.threads,
    device=snakemake.config["device"],
)
write_table(snakemake.output.history, history)
write_json(snakemake.output.training, summary)
save_ensemble(snakemake.output.model, ensemble)
