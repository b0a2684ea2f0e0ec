rule build_pile_up_library:
    input:
        local_library_files,
    output:
        "results/{study}/pile_up/{library}.parquet",
    log:
        "logs/{study}/pile_up/{library}.log",
    benchmark:
        "benchmarks/results/{study}/pile_up/{library}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="2GB",
        runtime="4h",
    params:
        files=library_files,
        code=code("build_pile_up_library"),
    message:
        "Building the pile-up library {wildcards.library}"
    script:
        "../scripts/build_pile_up_library.py"


rule build_images:
    input:
        skim="results/{study}/skim/{sample}.parquet",
        pile_up=pile_up_library,
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
        pile_up_seed=pile_up_seed,
        code=code("build_images"),
    message:
        "Building {wildcards.image} images of {wildcards.sample}"
    script:
        "../scripts/build_images.py"


rule build_sets:
    input:
        skim="results/{study}/skim/{sample}.parquet",
        pile_up=pile_up_library,
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
        pile_up_seed=pile_up_seed,
        code=code("build_sets"),
    message:
        "Building {wildcards.set} sets of {wildcards.sample}"
    script:
        "../scripts/build_sets.py"


rule build_jet_images:
    input:
        skim="results/{study}/skim/{sample}.parquet",
    output:
        "results/{study}/jets/{jets}/{sample}.parquet",
    log:
        "logs/{study}/jets/{jets}/{sample}.log",
    benchmark:
        "benchmarks/results/{study}/jets/{jets}/{sample}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="4GB",
        runtime="2h",
    params:
        jets=lookup("{study}/represent/jets/{jets}", within=STUDIES),
        code=code("build_jet_images"),
    message:
        "Building {wildcards.jets} jet images of {wildcards.sample}"
    script:
        "../scripts/build_jet_images.py"
