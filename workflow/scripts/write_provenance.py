"""Write where the numbers of a study come from."""

from cwolaflow.logs import start_log

start_log(snakemake.log[0])

from pathlib import Path

from cwolaflow.files import write_json
from cwolaflow.provenance import provenance_record

record = provenance_record(
    snakemake.params.study,
    Path(snakemake.scriptdir).parents[1],
    tables=snakemake.input.tables,
    **snakemake.params.sources,
    published=snakemake.input.published or None,
)
write_json(snakemake.output[0], record)
