"""Write the correlations of network outputs and the features that separate best."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

import pandas as pd

from cwolaflow.files import read_table, read_tables, write_csv
from cwolaflow.learning.discrimination import correlation_table, leading_features

scores = dict(
    zip(snakemake.params.classifiers, map(read_table, snakemake.input.scores), strict=True)
)
events = read_tables(snakemake.input.events)
if snakemake.params.test_folds is not None:
    events = events[events["fold"].isin(snakemake.params.test_folds)]
table = correlation_table(
    events,
    leading_features(pd.read_csv(snakemake.input.separation)),
    scores,
)
write_csv(snakemake.output[0], table)
