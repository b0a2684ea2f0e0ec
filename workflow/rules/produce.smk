rule produce_part:
    input:
        card=process_card,
        detector=detector_card,
        les_houches=les_houches_file,
    output:
        events="results/produce/{sample}/{part}.root",
        provenance="results/produce/{sample}/{part}.json",
    log:
        "logs/produce/{sample}/{part}.log",
    benchmark:
        "benchmarks/results/produce/{sample}/{part}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="1GB",
        runtime="4h",
    params:
        production=production_settings,
        code=code("produce_part"),
    message:
        "Producing part {wildcards.part} of {wildcards.sample}"
    script:
        "../scripts/produce_part.py"
