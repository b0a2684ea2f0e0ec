"""Draw the average image of each process, before and after the preprocessing."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_table, read_tables
from cwolaflow.plotting.images import average_images
from cwolaflow.plotting.style import save_figure
from cwolaflow.representation.build_images import detector_frame_averages
from cwolaflow.representation.images import SparseImages

events = read_tables(snakemake.input.events)
images, _ = SparseImages.read(snakemake.input.images)
figure = average_images(
    detector_frame_averages(
        snakemake.input.skims,
        map(read_table, snakemake.input.events),
        snakemake.params.image,
    ),
    images.averages(events["process"].to_numpy(), events["weight_fb"].to_numpy()),
    snakemake.params.processes,
    eta_range=tuple(snakemake.params.image["eta_range"]),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
    reference=snakemake.params.image["reference"],
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
