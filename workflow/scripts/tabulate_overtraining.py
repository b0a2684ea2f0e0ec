"""Write the comparison of training and held-out scores of all networks."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from cwolaflow.files import read_json, write_csv
from cwolaflow.tables import overtraining_table

write_csv(snakemake.output[0], overtraining_table(map(read_json, snakemake.input)))
