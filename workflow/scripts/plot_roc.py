"""Draw the ROC curves of some trainings with their spread over seeds."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table
from cwolaflow.plotting.roc import roc_bands, roc_curves
from cwolaflow.plotting.style import save_figure

background_efficiency, bands = roc_bands(
    snakemake.params.trainings, map(read_table, snakemake.input.scores)
)
figure = roc_curves(
    background_efficiency,
    bands,
    snakemake.params.names,
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
