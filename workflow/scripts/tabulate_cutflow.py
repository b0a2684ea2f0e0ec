"""Write the cutflow of all samples."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_csv
from cwolaflow.normalisation import cutflow_table
from cwolaflow.tables import join_cutflows

cutflows = zip(snakemake.params.samples, map(read_json, snakemake.input.cutflows), strict=True)
table = join_cutflows(cutflow_table(sample, cutflow) for sample, cutflow in cutflows)
write_csv(snakemake.output[0], table)
