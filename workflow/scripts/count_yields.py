"""Tabulate the events of each region and check that none is empty."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_tables, write_csv
from cwolaflow.selection.regions import region_yields

events = read_tables(snakemake.input.events)
write_csv(snakemake.output[0], region_yields(events, snakemake.params.regions))
