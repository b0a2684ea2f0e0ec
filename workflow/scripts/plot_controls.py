"""Draw what CWoLa networks reach without signal, and what they know of the regions."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.plotting.areas import controls
from cwolaflow.plotting.style import save_figure
from cwolaflow.tables import read_metrics

figure = controls(read_metrics(snakemake.input[0]), sqrt_s_tev=snakemake.params.sqrt_s_tev)
save_figure(figure, snakemake.output, snakemake.params.dpi)
