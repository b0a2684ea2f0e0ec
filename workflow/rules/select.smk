rule normalise_sample:
    input:
        provenance=provenance_of_parts,
    output:
        "results/{study}/normalisation/{sample}.json",
    log:
        "logs/{study}/normalisation/{sample}.log",
    benchmark:
        "benchmarks/results/{study}/normalisation/{sample}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        sample_row=sample_row,
        code=code("normalise_sample"),
    message:
        "Normalising {wildcards.sample}"
    script:
        "../scripts/normalise_sample.py"


rule select_events:
    input:
        skim="results/{study}/skim/{sample}.parquet",
        cutflow="results/{study}/skim/{sample}.cutflow.json",
        normalisation="results/{study}/normalisation/{sample}.json",
        weights=weight_table_of_sample,
    output:
        events="results/{study}/events/{sample}.parquet",
    log:
        "logs/{study}/events/{sample}.log",
    benchmark:
        "benchmarks/results/{study}/events/{sample}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        role=sample_role,
        select=select_settings,
        reweighting=reweighting_of_sample,
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("select_events"),
    message:
        "Making the event table of {wildcards.sample}"
    script:
        "../scripts/select_events.py"


rule count_yields:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
    output:
        "results/{study}/events/yields.csv",
    log:
        "logs/{study}/events/yields.log",
    benchmark:
        "benchmarks/results/{study}/events/yields.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        regions=lookup("{study}/select/regions", within=STUDIES),
        code=code("count_yields"),
    message:
        "Counting the events of each region of {wildcards.study}"
    script:
        "../scripts/count_yields.py"
