"""Draw the expected limits of all analyses."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.plotting.limits import limit_bands
from cwolaflow.plotting.style import save_figure
from cwolaflow.tables import read_limits

figure = limit_bands(
    read_limits(snakemake.input.limits),
    pd.read_csv(snakemake.input.precision),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
    confidence_level=snakemake.params.confidence_level,
    parameter=snakemake.params.poi,
    largest=snakemake.params.poi_max,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
