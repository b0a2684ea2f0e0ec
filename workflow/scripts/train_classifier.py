"""Train a classifier, perhaps on from one of another study, or take that one over as it is."""

from pathlib import Path

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, read_tables, write_json, write_table
from cwolaflow.learning.checkpoints import Checkpoints
from cwolaflow.learning.crossfit import load_ensemble, save_ensemble, train_crossfit
from cwolaflow.learning.inputs import load_inputs
from cwolaflow.learning.transfer import transfer
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.regions import in_regions

job, params = snakemake.wildcards, snakemake.params
initial = load_ensemble(snakemake.input.initial) if params.transferred else None
# Snakemake removes what it knows of a killed job; it does not know these.
checkpoints = Checkpoints(
    Path(snakemake.output.model).with_name("unfinished"),
    snakemake.input,
    [params.classifier, params.regions, params.code],
    snakemake.config["checkpoint_interval_s"],
)
if params.is_trained:
    events = in_regions(read_tables(snakemake.input.events), params.regions)
    ensemble, history, summary = train_crossfit(
        events,
        load_inputs(params.classifier["input"], events, snakemake.input.representation),
        params.classifier,
        params.supervision,
        None if job.lumi == "all" else float(job.lumi),
        derive_seed(params.seed, job.classifier, job.supervision, job.lumi, job.seed),
        params.folds,
        params.validation_fraction,
        params.test_folds,
        initial,
        threads=snakemake.threads,
        device=snakemake.config["device"],
        checkpoints=checkpoints,
    )
else:
    ensemble, history, summary = transfer(
        initial, read_json(snakemake.input.initial_training), params.folds, params.test_folds
    )
write_table(snakemake.output.history, history)
write_json(snakemake.output.training, summary | {"transferred": params.transferred})
save_ensemble(snakemake.output.model, ensemble)
checkpoints.remove()
