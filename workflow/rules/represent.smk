rule build_images:
    input:
        "results/{study}/skim/{sample}.parquet",
    output:
        "results/{study}/images/{image}/{sample}.parquet",
    log:
        "logs/{study}/images/{image}/{sample}.log",
    benchmark:
        "benchmarks/results/{study}/images/{image}/{sample}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="4GB",
        runtime="2h",
    params:
        image=lookup("{study}/represent/images/{image}", within=STUDIES),
        code=code("build_images"),
    message:
        "Building {wildcards.image} images of {wildcards.sample}"
    script:
        "../scripts/build_images.py"


rule build_sets:
    input:
        "results/{study}/skim/{sample}.parquet",
    output:
        "results/{study}/sets/{set}/{sample}.parquet",
    log:
        "logs/{study}/sets/{set}/{sample}.log",
    benchmark:
        "benchmarks/results/{study}/sets/{set}/{sample}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="4GB",
        runtime="2h",
    params:
        set=lookup("{study}/represent/sets/{set}", within=STUDIES),
        code=code("build_sets"),
    message:
        "Building {wildcards.set} sets of {wildcards.sample}"
    script:
        "../scripts/build_sets.py"
