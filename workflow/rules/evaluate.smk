rule evaluate_classifier:
    input:
        model=rules.train_classifier.output.model,
        training=rules.train_classifier.output.training,
        events=per_sample("results/{study}/events/{sample}.parquet"),
        representation=classifier_input,
    output:
        scores="results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/scores.parquet",
        metrics="results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/metrics.json",
    log:
        "logs/{study}/evaluate/{classifier}/{supervision}/lumi{lumi}/seed{seed}.log",
    benchmark:
        "benchmarks/results/{study}/evaluate/{classifier}/{supervision}/lumi{lumi}/seed{seed}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    threads: config["training_threads"]
    resources:
        mem="4GB",
        runtime="2h",
    params:
        classifier=settings_of_classifier,
        supervision=supervision_settings,
        is_trained=is_trained_here,
        regions=supervision_regions,
        validation_fraction=lookup("{study}/validation_fraction", within=STUDIES),
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("evaluate_classifier"),
    message:
        "Evaluating {wildcards.classifier}, {wildcards.supervision}, luminosity {wildcards.lumi}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate_classifier.py"


rule evaluate_systematic:
    input:
        model=rules.train_classifier.output.model,
        events=per_sample("results/{study}/events/{sample}.parquet"),
        representation=classifier_input,
    output:
        "results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/systematics/{systematic}.parquet",
    log:
        "logs/{study}/evaluate/{classifier}/{supervision}/lumi{lumi}/seed{seed}/{systematic}.log",
    benchmark:
        "benchmarks/results/{study}/evaluate/{classifier}/{supervision}/lumi{lumi}/seed{seed}/{systematic}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    threads: config["training_threads"]
    resources:
        mem="4GB",
        runtime="2h",
    params:
        source=source_of_classifier,
        size=lookup("{study}/limits/systematics/{systematic}/size", within=STUDIES),
        code=code("evaluate_systematic"),
    message:
        "Evaluating {wildcards.classifier}, {wildcards.supervision}, seed {wildcards.seed}, with {wildcards.systematic} shifted"
    script:
        "../scripts/evaluate_systematic.py"
