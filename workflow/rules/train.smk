rule train_classifier:
    input:
        "results/{study}/events/yields.csv",
        events=per_sample("results/{study}/events/{sample}.parquet"),
        representation=classifier_input,
    output:
        model="results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/model.pt",
        history="results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/history.parquet",
        training="results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/training.json",
    log:
        "logs/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}.log",
    benchmark:
        "benchmarks/results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    threads: config["training_threads"]
    resources:
        mem="4GB",
        runtime="12h",
    params:
        classifier=lookup("{study}/classifiers/{classifier}", within=STUDIES),
        supervision=supervision_settings,
        regions=supervision_regions,
        validation_fraction=lookup("{study}/validation_fraction", within=STUDIES),
        folds=lookup("{study}/select/folds", within=STUDIES),
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("train_classifier"),
    message:
        "Training {wildcards.classifier}, {wildcards.supervision}, luminosity {wildcards.lumi}, seed {wildcards.seed}"
    script:
        "../scripts/train_classifier.py"
