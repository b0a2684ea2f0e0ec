"""Draw the signal event with the highest dijet mass as a network sees it."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_tables
from cwolaflow.plotting.images import most_massive_signal, single_event
from cwolaflow.plotting.labels import process_style
from cwolaflow.plotting.style import save_figure
from cwolaflow.representation.images import SparseImages

events = read_tables(snakemake.input.events)
images, _ = SparseImages.read(snakemake.input.images)
row = most_massive_signal(events)
event = events.iloc[row]
label = process_style(snakemake.params.processes, event["process"])["label"]
figure = single_event(
    images.energies(row),
    images.phi_padding,
    eta_range=tuple(snakemake.params.image["eta_range"]),
    sqrt_s_tev=snakemake.params.sqrt_s_tev,
    reference=snakemake.params.image["reference"],
    note=f"{label}, $m_{{jj}}$ = {event['m_jj'] / 1000:.2f} TeV",
)
save_figure(figure, snakemake.output, snakemake.params.dpi)
