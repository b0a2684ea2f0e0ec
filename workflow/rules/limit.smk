rule set_shape_limits:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
    output:
        limits="results/{study}/limits/{shape}/limits.json",
        workspaces=directory("results/{study}/limits/{shape}/workspaces"),
    log:
        "logs/{study}/limits/{shape}.log",
    benchmark:
        "benchmarks/results/{study}/limits/{shape}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="2GB",
        runtime="1h",
    params:
        shape=lookup("{study}/limits/shapes/{shape}", within=STUDIES),
        luminosities_fb=lookup("{study}/luminosities_fb", within=STUDIES),
        limits=limit_settings,
        roles=process_roles,
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("set_shape_limits"),
    message:
        "Setting the limits from {wildcards.shape}"
    script:
        "../scripts/set_shape_limits.py"


rule set_score_limits:
    input:
        scores=rules.evaluate_classifier.output.scores,
        varied=varied_scores,
    output:
        limits="results/{study}/limits/{classifier}/{supervision}/lumi{lumi}/seed{seed}/limits.json",
        workspaces=directory(
            "results/{study}/limits/{classifier}/{supervision}/lumi{lumi}/seed{seed}/workspaces"
        ),
    log:
        "logs/{study}/limits/{classifier}/{supervision}/lumi{lumi}/seed{seed}.log",
    benchmark:
        "benchmarks/results/{study}/limits/{classifier}/{supervision}/lumi{lumi}/seed{seed}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="2GB",
        runtime="1h",
    params:
        scores=lookup("{study}/limits/scores", within=STUDIES),
        luminosities_fb=luminosities_of_training,
        systematics=systematics_of_classifier,
        limits=limit_settings,
        roles=process_roles,
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("set_score_limits"),
    message:
        "Setting the limits from {wildcards.classifier}, {wildcards.supervision}, luminosity {wildcards.lumi}, seed {wildcards.seed}"
    script:
        "../scripts/set_score_limits.py"
