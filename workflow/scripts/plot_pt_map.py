"""Draw the mean pT of the constituents of each process and kind where the detector has them."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table
from cwolaflow.plotting.images import channel_images
from cwolaflow.plotting.style import save_figure
from cwolaflow.representation.averages import detector_averages

figure = channel_images(
    detector_averages(
        snakemake.input.skims,
        map(read_table, snakemake.input.events),
        snakemake.params.set,
        snakemake.params.image,
    ),
    snakemake.params.processes,
    eta_range=tuple(snakemake.params.image["eta_range"]),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
    reference="detector",
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
