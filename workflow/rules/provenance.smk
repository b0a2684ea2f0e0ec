rule write_provenance:
    input:
        provenance_files,
        tables=provenance_tables,
        published=published_table,
    output:
        "results/{study}/summary/provenance.json",
    log:
        "logs/{study}/summary/provenance.log",
    benchmark:
        "benchmarks/results/{study}/summary/provenance.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        runtime="1h",
    params:
        study=lookup("{study}", within=STUDIES),
        sources=provenance_sources,
        code=code("write_provenance"),
    message:
        "Writing the provenance of {wildcards.study}"
    script:
        "../scripts/write_provenance.py"


rule export_hepdata:
    input:
        limits="results/{study}/summary/limits.csv",
        fits=study_limits,
        workspaces=study_workspaces,
    output:
        "results/{study}/summary/hepdata.tar.gz",
    log:
        "logs/{study}/summary/hepdata.log",
    benchmark:
        "benchmarks/results/{study}/summary/hepdata.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        title=lookup("{study}/title", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        confidence_level=lookup("{study}/limits/confidence_level", within=STUDIES),
        poi=lookup("{study}/limits/poi", within=STUDIES),
        code=code("export_hepdata"),
    message:
        "Packing the limits of {wildcards.study} for HEPData"
    script:
        "../scripts/export_hepdata.py"
