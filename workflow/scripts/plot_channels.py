"""Draw the average image of each process and channel as a network is given it, in GeV."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table
from cwolaflow.plotting.images import channel_images
from cwolaflow.plotting.style import save_figure
from cwolaflow.representation.averages import channel_averages

figure = channel_images(
    channel_averages(
        snakemake.input.sets, map(read_table, snakemake.input.events), snakemake.params.source
    ),
    snakemake.params.processes,
    eta_range=tuple(snakemake.params.source["image"]["eta_range"]),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
    reference=snakemake.params.reference,
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
