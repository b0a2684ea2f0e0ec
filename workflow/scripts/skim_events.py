"""Skim the Delphes files of one part of a sample."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import write_json
from cwolaflow.paths import file_records
from cwolaflow.selection.skim import skim_files

cutflow = skim_files(
    snakemake.params.files,
    snakemake.params.skim,
    snakemake.output.events,
    file_index=snakemake.params.first_file_index,
)
write_json(snakemake.output.cutflow, cutflow)
write_json(snakemake.output.files, file_records(snakemake.params.files))
