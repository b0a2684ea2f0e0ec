"""Draw the AUC of one kind of training against the luminosity."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.plotting.areas import auc_against_luminosity
from cwolaflow.plotting.style import save_figure
from cwolaflow.tables import read_metrics

figure = auc_against_luminosity(
    read_metrics(snakemake.input[0]),
    snakemake.wildcards.supervision,
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
