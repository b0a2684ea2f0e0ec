"""Write the cutflow of all samples."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_csv
from cwolaflow.normalisation import cutflow_table
from cwolaflow.tables import join_cutflows

normalisations = map(read_json, snakemake.input.normalisations)
cutflows = map(read_json, snakemake.input.cutflows)
table = join_cutflows(map(cutflow_table, normalisations, cutflows))
write_csv(snakemake.output[0], table)
