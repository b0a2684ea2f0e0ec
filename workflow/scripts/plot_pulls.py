"""Draw the pulls of all nuisance parameters at one luminosity."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.plotting.pulls import pull_plot
from cwolaflow.plotting.style import save_figure

figure = pull_plot(
    pd.read_csv(snakemake.input[0]),
    luminosity_fb=float(snakemake.wildcards.lumi),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
