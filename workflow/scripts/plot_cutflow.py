"""Draw the efficiency of the pre-selection, cut by cut."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.plotting.cutflow import cutflow_efficiencies
from cwolaflow.plotting.style import save_figure

figure = cutflow_efficiencies(
    pd.read_csv(snakemake.input[0]),
    snakemake.params.process_of,
    snakemake.params.processes,
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
