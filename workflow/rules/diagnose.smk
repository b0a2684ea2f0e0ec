rule tabulate_impacts:
    input:
        workspaces=diagnosed_files("impacts", "workspaces"),
        limits=diagnosed_files("impacts", "limits.json"),
    output:
        report(
            "results/{study}/summary/impacts.csv",
            caption="../report/impacts_table.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "impacts"},
        ),
    log:
        "logs/{study}/summary/impacts.log",
    benchmark:
        "benchmarks/results/{study}/summary/impacts.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        confidence_level=lookup("{study}/limits/confidence_level", within=STUDIES),
        code=code("tabulate_impacts"),
    message:
        "Writing what the limits of {wildcards.study} depend on"
    script:
        "../scripts/tabulate_impacts.py"


rule tabulate_pulls:
    input:
        workspaces=diagnosed_files("pulls", "workspaces"),
        limits=diagnosed_files("pulls", "limits.json"),
    output:
        report(
            "results/{study}/summary/pulls.csv",
            caption="../report/pulls.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "pulls"},
        ),
    log:
        "logs/{study}/summary/pulls.log",
    benchmark:
        "benchmarks/results/{study}/summary/pulls.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        code=code("tabulate_pulls"),
    message:
        "Writing the pulls of {wildcards.study}"
    script:
        "../scripts/tabulate_pulls.py"


rule plot_pulls:
    input:
        rules.tabulate_pulls.output[0],
    output:
        pdf="results/{study}/summary/figures/pulls_lumi{lumi}.pdf",
        png=report(
            "results/{study}/summary/figures/pulls_lumi{lumi}.png",
            caption="../report/pulls.rst",
            category="{study}",
            subcategory="Limits",
            labels={"what": "pulls at {lumi}/fb"},
        ),
    log:
        "logs/{study}/summary/figures/pulls_lumi{lumi}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/pulls_lumi{lumi}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_pulls"),
    message:
        "Drawing the pulls of {wildcards.study} at {wildcards.lumi}/fb"
    script:
        "../scripts/plot_pulls.py"


rule run_pseudo_experiments:
    input:
        workspaces=pseudo_experiment_files("workspaces"),
        limits=pseudo_experiment_files("limits.json"),
    output:
        experiments="results/{study}/summary/pseudo_experiments.csv",
        coverage=report(
            "results/{study}/summary/coverage.csv",
            caption="../report/coverage_table.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "coverage"},
        ),
    log:
        "logs/{study}/summary/pseudo_experiments.log",
    benchmark:
        "benchmarks/results/{study}/summary/pseudo_experiments.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        settings=lookup("{study}/limits/diagnostics/pseudo_experiments", within=STUDIES),
        confidence_level=lookup("{study}/limits/confidence_level", within=STUDIES),
        seed=lookup("{study}/seed", within=STUDIES),
        code=code("run_pseudo_experiments"),
    message:
        "Setting limits on pseudo-data of {wildcards.study}"
    script:
        "../scripts/run_pseudo_experiments.py"
