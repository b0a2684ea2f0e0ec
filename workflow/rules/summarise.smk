rule tabulate_cutflow:
    input:
        cutflows=per_sample("results/{study}/skim/{sample}.cutflow.json"),
        normalisations=per_sample("results/{study}/normalisation/{sample}.json"),
    output:
        report(
            "results/{study}/summary/cutflow.csv",
            caption="../report/cutflow_table.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "cutflow"},
        ),
    log:
        "logs/{study}/summary/cutflow.log",
    benchmark:
        "benchmarks/results/{study}/summary/cutflow.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        code=code("tabulate_cutflow"),
    message:
        "Writing the cutflow of {wildcards.study}"
    script:
        "../scripts/tabulate_cutflow.py"


rule tabulate_metrics:
    input:
        metrics=study_metrics,
        published=published_table,
    output:
        report(
            "results/{study}/summary/metrics.csv",
            caption="../report/metrics_table.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "metrics"},
        ),
    log:
        "logs/{study}/summary/metrics.log",
    benchmark:
        "benchmarks/results/{study}/summary/metrics.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        names=names_in_metrics,
        code=code("tabulate_metrics"),
    message:
        "Writing the metrics of all classifiers of {wildcards.study}"
    script:
        "../scripts/tabulate_metrics.py"


rule tabulate_limits:
    input:
        limits=study_limits,
        published=published_table,
    output:
        precision="results/{study}/summary/limit_precision.csv",
        limits=report(
            "results/{study}/summary/limits.csv",
            caption="../report/limits_table.rst",
            category="{study}",
            subcategory="Tables",
            labels={"what": "limits"},
        ),
    log:
        "logs/{study}/summary/limits.log",
    benchmark:
        "benchmarks/results/{study}/summary/limits.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        code=code("tabulate_limits"),
    message:
        "Writing the limits of {wildcards.study}"
    script:
        "../scripts/tabulate_limits.py"


rule plot_limits:
    input:
        limits="results/{study}/summary/limits.csv",
        precision="results/{study}/summary/limit_precision.csv",
    output:
        pdf="results/{study}/summary/figures/limits.pdf",
        png=report(
            "results/{study}/summary/figures/limits.png",
            caption="../report/limits.rst",
            category="{study}",
            subcategory="Limits",
            labels={"what": "all analyses"},
        ),
    log:
        "logs/{study}/summary/figures/limits.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/limits.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        confidence_level=lookup("{study}/limits/confidence_level", within=STUDIES),
        poi=lookup("{study}/limits/poi", within=STUDIES),
        poi_max=lookup("{study}/limits/poi_max", within=STUDIES, default=None),
        notes=study_notes,
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_limits"),
    message:
        "Drawing the limits of {wildcards.study}"
    script:
        "../scripts/plot_limits.py"


rule plot_roc:
    input:
        scores=scores_of(roc_trainings),
    output:
        pdf="results/{study}/summary/figures/roc_{trainings}.pdf",
        png=report(
            "results/{study}/summary/figures/roc_{trainings}.png",
            caption="../report/roc.rst",
            category="{study}",
            subcategory="Classifiers",
            labels={"what": "ROC curves, {trainings}"},
        ),
    log:
        "logs/{study}/summary/figures/roc_{trainings}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/roc_{trainings}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        trainings=roc_labels,
        names=names_of(roc_trainings),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_roc"),
    message:
        "Drawing the ROC curves {wildcards.trainings} of {wildcards.study}"
    script:
        "../scripts/plot_roc.py"


rule plot_scores:
    input:
        scores=scores_of(score_trainings),
    output:
        pdf="results/{study}/summary/figures/score_{trainings}.pdf",
        png=report(
            "results/{study}/summary/figures/score_{trainings}.png",
            caption="../report/score.rst",
            category="{study}",
            subcategory="Classifiers",
            labels={"what": "scores, {trainings}"},
        ),
    log:
        "logs/{study}/summary/figures/score_{trainings}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/score_{trainings}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        panels=score_panels,
        names=names_of(score_trainings),
        luminosity_fb=first_luminosity,
        processes=lookup("{study}/processes", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_scores"),
    message:
        "Drawing the scores {wildcards.trainings} of {wildcards.study}"
    script:
        "../scripts/plot_scores.py"


rule plot_feature:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
    output:
        pdf="results/{study}/summary/figures/feature_{feature}_lumi{lumi}.pdf",
        png=report(
            "results/{study}/summary/figures/feature_{feature}_lumi{lumi}.png",
            caption="../report/feature.rst",
            category="{study}",
            subcategory="Events",
            labels={"what": "{feature}"},
        ),
    log:
        "logs/{study}/summary/figures/feature_{feature}_lumi{lumi}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/feature_{feature}_lumi{lumi}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        processes=lookup("{study}/processes", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_feature"),
    message:
        "Drawing {wildcards.feature}"
    script:
        "../scripts/plot_feature.py"


rule plot_average_images:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
        images=per_sample("results/{study}/images/{image}/{sample}.parquet"),
        skims=per_sample("results/{study}/skim/{sample}.parquet"),
    output:
        pdf="results/{study}/summary/figures/images_{image}.pdf",
        png=report(
            "results/{study}/summary/figures/images_{image}.png",
            caption="../report/images.rst",
            category="{study}",
            subcategory="Events",
            labels={"what": "average {image} images"},
        ),
    log:
        "logs/{study}/summary/figures/images_{image}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/images_{image}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        image=lookup("{study}/represent/images/{image}", within=STUDIES),
        processes=lookup("{study}/processes", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_average_images"),
    message:
        "Drawing the average {wildcards.image} images"
    script:
        "../scripts/plot_average_images.py"


rule plot_channels:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
        sets=rendered_set_files,
    output:
        pdf="results/{study}/summary/figures/channels_{classifier}.pdf",
        png=report(
            "results/{study}/summary/figures/channels_{classifier}.png",
            caption="../report/channels.rst",
            category="{study}",
            subcategory="Events",
            labels={"what": "average images of {classifier}"},
        ),
    log:
        "logs/{study}/summary/figures/channels_{classifier}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/channels_{classifier}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        source=rendered_input,
        reference=rendered_set_reference,
        processes=lookup("{study}/processes", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_channels"),
    message:
        "Drawing the average images of {wildcards.classifier}"
    script:
        "../scripts/plot_channels.py"


rule plot_pt_map:
    input:
        events=per_sample("results/{study}/events/{sample}.parquet"),
        skims=per_sample("results/{study}/skim/{sample}.parquet"),
    output:
        pdf="results/{study}/summary/figures/pt_map_{set}.pdf",
        png=report(
            "results/{study}/summary/figures/pt_map_{set}.png",
            caption="../report/pt_map.rst",
            category="{study}",
            subcategory="Events",
            labels={"what": "p_T maps of {set}"},
        ),
    log:
        "logs/{study}/summary/figures/pt_map_{set}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/pt_map_{set}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        set=lookup("{study}/represent/sets/{set}", within=STUDIES),
        image=rendered_pixels,
        processes=lookup("{study}/processes", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_pt_map"),
    message:
        "Drawing the p_T maps of {wildcards.set}"
    script:
        "../scripts/plot_pt_map.py"


rule plot_cutflow:
    input:
        "results/{study}/summary/cutflow.csv",
    output:
        pdf="results/{study}/summary/figures/cutflow.pdf",
        png=report(
            "results/{study}/summary/figures/cutflow.png",
            caption="../report/cutflow.rst",
            category="{study}",
            subcategory="Events",
            labels={"what": "cutflow"},
        ),
    log:
        "logs/{study}/summary/figures/cutflow.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/cutflow.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        process_of=process_of_samples,
        processes=lookup("{study}/processes", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_cutflow"),
    message:
        "Drawing the cutflow of {wildcards.study}"
    script:
        "../scripts/plot_cutflow.py"


rule plot_areas:
    input:
        "results/{study}/summary/metrics.csv",
    output:
        pdf="results/{study}/summary/figures/auc_{supervision}.pdf",
        png=report(
            "results/{study}/summary/figures/auc_{supervision}.png",
            caption="../report/areas.rst",
            category="{study}",
            subcategory="Classifiers",
            labels={"what": "AUC, {supervision}"},
        ),
    log:
        "logs/{study}/summary/figures/auc_{supervision}.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/auc_{supervision}.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_areas"),
    message:
        "Drawing the AUC of {wildcards.supervision} against the luminosity"
    script:
        "../scripts/plot_areas.py"


rule plot_controls:
    input:
        "results/{study}/summary/metrics.csv",
    output:
        pdf="results/{study}/summary/figures/controls.pdf",
        png=report(
            "results/{study}/summary/figures/controls.png",
            caption="../report/controls.rst",
            category="{study}",
            subcategory="Classifiers",
            labels={"what": "controls"},
        ),
    log:
        "logs/{study}/summary/figures/controls.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/controls.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_controls"),
    message:
        "Drawing the controls of {wildcards.study}"
    script:
        "../scripts/plot_controls.py"


rule plot_flavours:
    input:
        "results/{study}/events/yields.csv",
    output:
        pdf="results/{study}/summary/figures/flavours.pdf",
        png=report(
            "results/{study}/summary/figures/flavours.png",
            caption="../report/flavours.rst",
            category="{study}",
            subcategory="Events",
            labels={"what": "jet flavours"},
        ),
    log:
        "logs/{study}/summary/figures/flavours.log",
    benchmark:
        "benchmarks/results/{study}/summary/figures/flavours.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        processes=lookup("{study}/processes", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        dpi=lookup("{study}/plots/dpi", within=STUDIES),
        code=code("plot_flavours"),
    message:
        "Drawing the jet flavours of {wildcards.study}"
    script:
        "../scripts/plot_flavours.py"
