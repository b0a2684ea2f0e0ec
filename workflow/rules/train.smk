rule train_classifier:
    input:
        yields=if_trained(lambda wildcards: f"results/{wildcards.study}/events/yields.csv"),
        events=if_trained(per_sample("results/{study}/events/{sample}.parquet")),
        representation=if_trained(classifier_input),
        initial=transferred_file("model.pt"),
        initial_training=transferred_file("training.json"),
    output:
        model="results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/model.pt",
        history="results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/history.parquet",
        training="results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}/training.json",
    log:
        "logs/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}.log",
    benchmark:
        "benchmarks/results/{study}/train/{classifier}/{supervision}/lumi{lumi}/seed{seed}.tsv"
    priority: training_priority
    conda:
        "../../envs/cwolaflow.yaml"
    threads: config["training_threads"]
    resources:
        mem="4GB",
        runtime="12h",
    params:
        classifier=settings_of_classifier,
        supervision=supervision_settings,
        is_trained=is_trained_here,
        transferred=transferred_training,
        regions=supervision_regions,
        validation_fraction=lookup("{study}/validation_fraction", within=STUDIES),
        folds=lookup("{study}/select/folds", within=STUDIES),
        test_folds=lookup("{study}/select/test_folds", within=STUDIES, default=None),
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("train_classifier"),
    message:
        "Training {wildcards.classifier}, {wildcards.supervision}, luminosity {wildcards.lumi}, seed {wildcards.seed}"
    script:
        "../scripts/train_classifier.py"
