rule set_shape_limit:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
    output:
        workspace="results/{study}/limits/{shape}/lumi{lumi}/workspace.json",
        limit="results/{study}/limits/{shape}/lumi{lumi}/limit.json",
    log:
        "logs/{study}/limits/{shape}/lumi{lumi}.log",
    benchmark:
        "benchmarks/results/{study}/limits/{shape}/lumi{lumi}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="2GB",
        runtime="1h",
    params:
        shape=lookup("{study}/limits/shapes/{shape}", within=STUDIES),
        limits=limit_settings,
        roles=process_roles,
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("set_shape_limit"),
    message:
        "Setting the limit from {wildcards.shape} at {wildcards.lumi}/fb"
    script:
        "../scripts/set_shape_limit.py"


rule set_score_limit:
    input:
        scores=scores_of_limit,
        varied=varied_scores_of_limit,
    output:
        workspace="results/{study}/limits/{classifier}/lumi{lumi}/{supervision}/seed{seed}/workspace.json",
        limit="results/{study}/limits/{classifier}/lumi{lumi}/{supervision}/seed{seed}/limit.json",
    log:
        "logs/{study}/limits/{classifier}/lumi{lumi}/{supervision}/seed{seed}.log",
    benchmark:
        "benchmarks/results/{study}/limits/{classifier}/lumi{lumi}/{supervision}/seed{seed}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        mem="2GB",
        runtime="1h",
    params:
        scores=lookup("{study}/limits/scores", within=STUDIES),
        systematics=systematics_of_limit,
        limits=limit_settings,
        roles=process_roles,
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("set_score_limit"),
    message:
        "Setting the limit from {wildcards.classifier}, {wildcards.supervision}, seed {wildcards.seed}, at {wildcards.lumi}/fb"
    script:
        "../scripts/set_score_limit.py"
