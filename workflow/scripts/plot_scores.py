"""Draw the score distribution of one training."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table
from cwolaflow.plotting.distributions import stacked_distribution
from cwolaflow.plotting.labels import analysis_label, score_variable
from cwolaflow.plotting.style import save_figure

scores = read_table(snakemake.input.scores)
figure = stacked_distribution(
    scores,
    score_variable(scores["score"].to_numpy()),
    snakemake.params.processes,
    luminosity_fb=float(snakemake.wildcards.lumi),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
    note=analysis_label(snakemake.wildcards.classifier, snakemake.wildcards.supervision),
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
