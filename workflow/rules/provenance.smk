def sample_sources(study):
    """Files that say of each sample what it stands for and what it was read from."""
    return {
        name: {
            "normalisation": f"results/{study}/normalisation/{name}.json",
            "files": (
                []
                if sample.is_produced
                else collect(
                    "results/{study}/skim/parts/{sample}/{part}.files.json",
                    study=study,
                    sample=name,
                    part=range(len(sample.parts(STUDIES[study]["skim"]["files_per_part"]))),
                )
            ),
        }
        for name, sample in SAMPLES[study].items()
    }


def generated_sources(study):
    """What the generator says of the parts of each produced sample, minimum bias included."""
    settings = STUDIES[study]
    libraries = settings["represent"]["pile_up_libraries"].values()
    produced = {name for name, sample in SAMPLES[study].items() if sample.is_produced}
    produced |= {library["sample"] for library in libraries if "sample" in library}
    return {
        name: collect(
            "results/produce/{sample}/{part}.json",
            sample=name,
            part=range(production_parts(settings, name)),
        )
        for name in sorted(produced)
    }


def training_files(folder):
    names = {"model": "model.pt", "scores": "scores.parquet"}
    names |= {"metrics": "metrics.json", "training": "training.json"}
    return {kind: f"{folder}/{name}" for kind, name in names.items()}


def limit_files(study, job):
    """Files of one limit, and of the training behind it."""
    folder = limit_folder(study, job)
    files = {"limit": f"{folder}/limit.json", "workspace": f"{folder}/workspace.json"}
    if job.seed is None:
        return files
    luminosity = training_luminosity(job.supervision, job.luminosity)
    training = Training(job.analysis, job.supervision, luminosity, job.seed)
    return files | training_files(training_folder(study, training))


def provenance_sources(wildcards):
    """Everything that the provenance of a study looks at, as `provenance_record` takes it."""
    study = study_of(wildcards)["name"]
    return {
        "samples": sample_sources(study),
        "pile_up_libraries": PILE_UP_LIBRARIES[study],
        "generated": generated_sources(study),
        "trainings": [training_files(folder) for folder in training_folders(study)],
        "limits": [limit_files(study, job) for job in limits(STUDIES[study])],
    }


def provenance_files(wildcards):
    sources = provenance_sources(wildcards)
    jobs = [*sources["samples"].values(), *sources["trainings"], *sources["limits"]]
    paths = [path for job in jobs for path in job.values()]
    paths += [*sources["pile_up_libraries"].values(), *sources["generated"].values()]
    flat = [path for entry in paths for path in ([entry] if isinstance(entry, str) else entry)]
    return list(dict.fromkeys(path for path in flat if not is_remote(path)))


rule write_provenance:
    input:
        provenance_files,
        tables=collect(
            "results/{study}/summary/{table}.csv",
            table=["cutflow", "metrics", "limits", "limit_precision"],
            allow_missing=True,
        ),
        published=published_table,
    output:
        "results/{study}/summary/provenance.json",
    log:
        "logs/{study}/summary/provenance.log",
    benchmark:
        "benchmarks/results/{study}/summary/provenance.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    resources:
        runtime="1h",
    params:
        study=lookup("{study}", within=STUDIES),
        sources=provenance_sources,
        code=code("write_provenance"),
    message:
        "Writing the provenance of {wildcards.study}"
    script:
        "../scripts/write_provenance.py"


rule export_hepdata:
    input:
        limits="results/{study}/summary/limits.csv",
        fits=study_limits,
        workspaces=study_workspaces,
    output:
        "results/{study}/summary/hepdata.tar.gz",
    log:
        "logs/{study}/summary/hepdata.log",
    benchmark:
        "benchmarks/results/{study}/summary/hepdata.tsv"
    conda:
        "../../envs/cwolaflow.yaml"
    params:
        title=lookup("{study}/title", within=STUDIES),
        sqrt_s_tev=lookup("{study}/sqrt_s_tev", within=STUDIES),
        confidence_level=lookup("{study}/limits/confidence_level", within=STUDIES),
        poi=lookup("{study}/limits/poi", within=STUDIES),
        code=code("export_hepdata"),
    message:
        "Packing the limits of {wildcards.study} for HEPData"
    script:
        "../scripts/export_hepdata.py"
