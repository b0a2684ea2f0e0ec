rule tabulate_separation:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
        scores=study_scores,
        metrics=study_metrics,
    output:
        report(
            "results/{study}/summary/separation.csv",
            caption="../report/separation_table.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "separation"},
        ),
    log:
        "logs/{study}/summary/separation.log",
    benchmark:
        "benchmarks/results/{study}/summary/separation.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        code=code("tabulate_separation"),
    message:
        "Writing the separation of all features and networks of {wildcards.study}"
    script:
        "../scripts/tabulate_separation.py"


rule tabulate_correlations:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
        scores=leading_scores,
        separation="results/{study}/summary/separation.csv",
    output:
        report(
            "results/{study}/summary/correlations.csv",
            caption="../report/correlations.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "correlations"},
        ),
    log:
        "logs/{study}/summary/correlations.log",
    benchmark:
        "benchmarks/results/{study}/summary/correlations.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        classifiers=leading_classifiers,
        test_folds=lookup("{study}/select/test_folds", within=STUDIES, default=None),
        code=code("tabulate_correlations"),
    message:
        "Writing the correlations of networks and features of {wildcards.study}"
    script:
        "../scripts/tabulate_correlations.py"


rule plot_correlations:
    input:
        "results/{study}/summary/correlations.csv",
    output:
        pdf="results/{study}/summary/figures/correlations.pdf",
        png=report(
            "results/{study}/summary/figures/correlations.png",
            caption="../report/correlations.rst",
            category="{study}",
            subcategory="Classifiers",
            labels={"what": "correlations"},
        ),
    log:
        "logs/{study}/summary/figures/correlations.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/correlations.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_correlations"),
    message:
        "Drawing the correlations of networks and features of {wildcards.study}"
    script:
        "../scripts/plot_correlations.py"


rule tabulate_overtraining:
    input:
        study_metrics,
    output:
        report(
            "results/{study}/summary/overtraining.csv",
            caption="../report/overtraining_table.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "over-training"},
        ),
    log:
        "logs/{study}/summary/overtraining.log",
    benchmark:
        "benchmarks/results/{study}/summary/overtraining.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        code=code("tabulate_overtraining"),
    message:
        "Writing the over-training table of {wildcards.study}"
    script:
        "../scripts/tabulate_overtraining.py"


rule plot_event:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
        images=per_sample("results/{study}/images/{image}/{sample}.parquet"),
    output:
        pdf="results/{study}/summary/figures/event_{image}.pdf",
        png=report(
            "results/{study}/summary/figures/event_{image}.png",
            caption="../report/event.rst",
            category="{study}",
            subcategory="Events",
            labels={"what": "one {image} event"},
        ),
    log:
        "logs/{study}/summary/figures/event_{image}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/event_{image}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        image=lookup("{study}/represent/images/{image}", within=STUDIES),
        processes=lookup("{study}/processes", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_event"),
    message:
        "Drawing one event as {wildcards.image} image"
    script:
        "../scripts/plot_event.py"


rule plot_reweighting:
    input:
        skim="results/{study}/skim/{sample}.parquet",
        cutflow="results/{study}/skim/{sample}.cutflow.json",
        normalisation="results/{study}/normalisation/{sample}.json",
        weights=weight_table_of_sample,
    output:
        pdf="results/{study}/summary/figures/reweighting_{sample}.pdf",
        png=report(
            "results/{study}/summary/figures/reweighting_{sample}.png",
            caption="../report/reweighting.rst",
            category="{study}",
            subcategory="Events",
            labels={"what": "reweighting of {sample}"},
        ),
    log:
        "logs/{study}/summary/figures/reweighting_{sample}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/reweighting_{sample}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        role=sample_role,
        select=select_settings,
        reweighting=reweighting_of_sample,
        seed=lookup("{study}/seed", within=STUDIES),
        processes=process_of_sample,
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_reweighting"),
    message:
        "Drawing the reweighting of {wildcards.sample}"
    script:
        "../scripts/plot_reweighting.py"
