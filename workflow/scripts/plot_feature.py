"""Draw the distribution of one feature."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_tables
from cwolaflow.plotting.distributions import stacked_distribution
from cwolaflow.plotting.labels import feature_variable
from cwolaflow.plotting.style import save_figure

figure = stacked_distribution(
    read_tables(snakemake.input.events),
    feature_variable(snakemake.wildcards.feature),
    snakemake.params.processes,
    luminosity_fb=float(snakemake.wildcards.lumi),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
