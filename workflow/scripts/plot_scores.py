"""Draw the score distributions of some trainings."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table
from cwolaflow.plotting.distributions import score_distributions
from cwolaflow.plotting.style import save_figure

figure = score_distributions(
    snakemake.params.panels,
    [read_table(path) for path in snakemake.input.scores],
    snakemake.params.names,
    snakemake.params.processes,
    luminosity_fb=float(snakemake.params.luminosity_fb),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
