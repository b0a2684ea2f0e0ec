from snakemake.utils import min_version

min_version("9.14")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/produce.smk"
include: "workflow/rules/skim.smk"
include: "workflow/rules/select.smk"
include: "workflow/rules/represent.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/discriminate.smk"
include: "workflow/rules/limit.smk"
include: "workflow/rules/summarise.smk"
include: "workflow/rules/provenance.smk"
include: "workflow/rules/diagnose.smk"


rule all:
    default_target: True
    input:
        all_tables,
        collect("results/{study}/summary/provenance.json", study=STUDIES),
        all_figures,
        all_diagnostics,
        all_discrimination,
    localrule: True


rule skims:
    input:
        all_skims,
    localrule: True


rule events:
    input:
        collect("results/{study}/events/yields.csv", study=STUDIES),
    localrule: True


rule models:
    input:
        all_models,
    localrule: True


rule limits:
    input:
        collect("results/{study}/summary/limits.csv", study=studies_with_limits()),
    localrule: True


rule figures:
    input:
        all_figures,
    localrule: True


rule hepdata:
    input:
        collect("results/{study}/summary/hepdata.tar.gz", study=studies_with_limits()),
    localrule: True


onsuccess:
    for folder in (Path("results", name, "summary") for name in STUDIES):
        tables = [t for t in ("limits.csv", "metrics.csv") if (folder / t).exists()]
        if tables:
            logger.info(
                f"Table: {folder}/{tables[0]}; figures: {folder}/figures/;"
                " report: report.html (from make run or make report)"
            )
