"""Draw the spectrum of a sample before and after its reweighting."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json
from cwolaflow.plotting.reweighting import reweighting_closure
from cwolaflow.plotting.style import save_figure
from cwolaflow.representation.events import build_event_table
from cwolaflow.selection.reweighting import apply_reweighting, load_weight_table

settings, seed = snakemake.params.reweighting, snakemake.params.seed
before = build_event_table(
    snakemake.input.skim,
    read_json(snakemake.input.cutflow),
    read_json(snakemake.input.normalisation),
    snakemake.params.role,
    snakemake.params.select,
    seed,
)
figure = reweighting_closure(
    before,
    apply_reweighting(before, settings, seed),
    load_weight_table(settings["table"]),
    snakemake.params.processes,
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
