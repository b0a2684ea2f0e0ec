"""Write the comparison of training and held-out scores of all networks."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.files import read_json, write_csv

write_csv(snakemake.output[0], pd.DataFrame(map(read_json, snakemake.input)))
