"""Draw the flavours of the leading jets of each process."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.plotting.flavours import flavour_composition
from cwolaflow.plotting.style import save_figure

figure = flavour_composition(
    pd.read_csv(snakemake.input[0]),
    snakemake.params.processes,
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
