rule skim_events:
    input:
        local_part_files,
    output:
        events="results/{study}/skim/parts/{sample}/{part}.parquet",
        cutflow="results/{study}/skim/parts/{sample}/{part}.cutflow.json",
        files="results/{study}/skim/parts/{sample}/{part}.files.json",
    log:
        "logs/{study}/skim/parts/{sample}/{part}.log",
    benchmark:
        "benchmarks/results/{study}/skim/parts/{sample}/{part}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="2GB",
        runtime="4h",
    params:
        files=part_files,
        first_file_index=first_file_index,
        skim=lookup("{study}/skim", within=STUDIES),
        code=code("skim_events"),
    message:
        "Skimming part {wildcards.part} of {wildcards.sample}"
    script:
        "../scripts/skim_events.py"


rule merge_skim:
    input:
        events=per_part("results/{study}/skim/parts/{sample}/{part}.parquet"),
        cutflows=per_part("results/{study}/skim/parts/{sample}/{part}.cutflow.json"),
    output:
        events="results/{study}/skim/{sample}.parquet",
        cutflow="results/{study}/skim/{sample}.cutflow.json",
    log:
        "logs/{study}/skim/{sample}.log",
    benchmark:
        "benchmarks/results/{study}/skim/{sample}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="2GB",
        runtime="1h",
    params:
        code=code("merge_skim"),
    message:
        "Joining the parts of {wildcards.sample}"
    script:
        "../scripts/merge_skim.py"
