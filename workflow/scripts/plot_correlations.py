"""Draw the correlations of network outputs and features."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.plotting.correlations import correlation_matrices
from cwolaflow.plotting.style import save_figure

figure = correlation_matrices(
    pd.read_csv(snakemake.input[0]), sqrt_s_tev=snakemake.params.sqrt_s_tev
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
