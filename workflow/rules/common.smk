import os
from pathlib import Path

from snakemake.exceptions import WorkflowError

from cwolaflow import alive
from cwolaflow.config.code import code_version
from cwolaflow.config.plan import (
    ALL_LUMINOSITIES,
    CONTROL,
    Training,
    classifier_settings,
    depends_on_luminosity,
    diagnosed,
    first_trainings,
    is_trained,
    is_transfer,
    limits,
    luminosity_labels,
    metric_names,
    mixture_notes,
    production_parts,
    productions,
    rendered_inputs,
    roc_figures,
    score_figures,
    shape_systematics,
    training_luminosity,
    trainings,
    transfer_source,
)
from cwolaflow.config.samples import load_pile_up_libraries, load_samples, skim_parts
from cwolaflow.config.study import load_config, load_study
from cwolaflow.config.transfers import check_transfers
from cwolaflow.errors import CwolaflowError
from cwolaflow.files import check_writable
from cwolaflow.paths import is_remote
from cwolaflow.seeds import derive_seed

try:
    if workflow.is_main_process:
        for folder in (".snakemake", "results", "logs"):
            check_writable(folder)
        alive.start_run(Path(".snakemake"))
    elif workflow.remote_exec:
        # A job step is ended by its batch system, not by the run that submitted it.
        os.environ.pop(alive.VARIABLE, None)
    load_config(config)
    STUDIES = {study["name"]: study for study in map(load_study, config["studies"])}
    PRODUCTIONS = productions(STUDIES.values())
    SAMPLES = {
        name: load_samples(
            study["samples"],
            study["processes"],
            study.get("produce", {}).get("samples", ()),
        )
        for name, study in STUDIES.items()
    }
    check_transfers(STUDIES, SAMPLES)
    PILE_UP_LIBRARIES = {name: load_pile_up_libraries(study) for name, study in STUDIES.items()}
except CwolaflowError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    study="[^/]+",
    sample="[^/]+",
    part=r"\d+",
    image="[^/]+",
    set="[^/]+",
    jets="[^/]+",
    library="[^/]+",
    classifier="[^/]+",
    supervision="|".join(
        sorted({key for study in STUDIES.values() for key in study["supervision"]})
    ),
    lumi=r"all|\d+(\.\d+)?",
    seed=r"\d+",
    trainings=r"[a-z0-9_]+",
    shape="[^/]+",
    feature=r"[a-z0-9_]+?",
    systematic="[a-z0-9_]+",


def code(script):
    """Version of the library code behind a script: Snakemake sees the script, not its imports."""
    return code_version(Path(workflow.basedir) / "workflow" / "scripts" / f"{script}.py")


def study_of(wildcards):
    try:
        return STUDIES[wildcards.study]
    except KeyError:
        raise WorkflowError(
            f"study {wildcards.study!r} is not in 'studies' of the config; it has: "
            + ", ".join(STUDIES)
        ) from None


def studies_with_limits():
    return {name: study for name, study in STUDIES.items() if "limits" in study}


def summary_tables(study):
    """Tables that every run of a study makes."""
    tables = ["cutflow", "metrics"]
    return [*tables, "limits", "limit_precision"] if "limits" in STUDIES[study] else tables


def all_tables(wildcards):
    return [
        f"results/{study}/summary/{table}.csv"
        for study in STUDIES
        for table in summary_tables(study)
    ]


def provenance_tables(wildcards):
    study = study_of(wildcards)["name"]
    return [f"results/{study}/summary/{table}.csv" for table in summary_tables(study)]


def sample_of(wildcards):
    return SAMPLES[study_of(wildcards)["name"]][wildcards.sample]


def per_sample(pattern):
    """Input function: the files of all samples of the study."""

    def files(wildcards):
        return collect(
            pattern,
            study=wildcards.study,
            sample=list(SAMPLES[wildcards.study]),
            allow_missing=True,
        )

    return files


def produced_files(study, sample, suffix):
    """Files of all parts in which a study produces a sample."""
    return collect(
        "results/produce/{sample}/{part}.{suffix}",
        sample=sample,
        part=range(production_parts(STUDIES[study], sample)),
        suffix=suffix,
    )


def sample_parts(study, sample):
    """Files of each job in which a sample is skimmed."""
    files = SAMPLES[study][sample].files or produced_files(study, sample, "root")
    return skim_parts(files, STUDIES[study]["skim"]["files_per_part"])


def part_files(wildcards):
    sample = sample_of(wildcards).name
    return sample_parts(wildcards.study, sample)[int(wildcards.part)]


def local_part_files(wildcards):
    return [file for file in part_files(wildcards) if not is_remote(file)]


def first_file_index(wildcards):
    return int(wildcards.part) * STUDIES[wildcards.study]["skim"]["files_per_part"]


def provenance_of_parts(wildcards):
    """What the generator says of each part; nothing for a sample of files."""
    sample = sample_of(wildcards)
    return produced_files(wildcards.study, sample.name, "json") if sample.is_produced else []


def production_of(wildcards):
    """Settings of a produced sample, without its number of events."""
    try:
        return PRODUCTIONS[wildcards.sample]
    except KeyError:
        raise WorkflowError(
            f"no study of the config produces the sample {wildcards.sample!r}"
        ) from None


def process_card(wildcards):
    return production_of(wildcards)["card"]


def detector_card(wildcards):
    return production_of(wildcards)["detector"]["card"]


def les_houches_file(wildcards):
    production = production_of(wildcards)
    return production["lhe"]["files"][int(wildcards.part)] if "lhe" in production else []


def production_settings(wildcards):
    """Settings of a produced sample without its Les Houches files: a new one adds its own part."""
    production = production_of(wildcards)
    if "lhe" not in production:
        return production
    return production | {"lhe": {"events_per_file": production["lhe"]["events_per_file"]}}


def per_part(pattern):
    """Input function: the files of all parts of a sample."""

    def files(wildcards):
        return collect(
            pattern,
            study=wildcards.study,
            sample=wildcards.sample,
            part=range(len(sample_parts(wildcards.study, wildcards.sample))),
        )

    return files


def library_files(wildcards):
    """Minimum-bias files of a pile-up library: of the config, or produced."""
    study = study_of(wildcards)
    libraries = study["represent"]["pile_up_libraries"]
    if wildcards.library not in libraries:
        raise WorkflowError(
            f"study {wildcards.study!r} has no pile-up library {wildcards.library!r}; it has: "
            + (", ".join(libraries) or "none")
        )
    sample = libraries[wildcards.library].get("sample")
    if sample is None:
        return PILE_UP_LIBRARIES[wildcards.study][wildcards.library]
    return produced_files(study["name"], sample, "root")


def local_library_files(wildcards):
    return [file for file in library_files(wildcards) if not is_remote(file)]


def pile_up_settings(wildcards):
    """Pile-up of an image or set, or None."""
    represent = study_of(wildcards)["represent"]
    if "image" in wildcards.keys():
        return represent["images"].get(wildcards.image, {}).get("pile_up")
    return represent["sets"].get(wildcards.set, {}).get("pile_up")


def pile_up_library(wildcards):
    """Library that an image or set needs; nothing without pile-up."""
    settings = pile_up_settings(wildcards)
    return f"results/{wildcards.study}/pile_up/{settings['library']}.parquet" if settings else []


def pile_up_seed(wildcards):
    """Seed of a sample's pile-up, the same for all images and sets with one library."""
    settings = pile_up_settings(wildcards)
    if settings is None:
        return None
    seed = study_of(wildcards)["seed"]
    return derive_seed(seed, "pile_up", settings["library"], wildcards.sample)


def sample_row(wildcards):
    """What the sample table says of the sample, without its files."""
    return sample_of(wildcards).row


def sample_role(wildcards):
    return process_roles(wildcards)[sample_of(wildcards).process]


def process_of_sample(wildcards):
    """Role, label and colour of the sample's process, by its name."""
    process = sample_of(wildcards).process
    return {process: study_of(wildcards)["processes"][process]}


def process_roles(wildcards):
    return {name: process["role"] for name, process in study_of(wildcards)["processes"].items()}


def select_settings(wildcards):
    """Regions and folds; neither another process's reweighting nor test folds rerun it."""
    settings = study_of(wildcards)["select"]
    elsewhere = ("reweight", "test_folds")
    return {key: value for key, value in settings.items() if key not in elsewhere}


def reweighting_of_sample(wildcards):
    """Entry of `select.reweight` for the sample's process, or None."""
    return study_of(wildcards)["select"]["reweight"].get(sample_of(wildcards).process)


def weight_table_of_sample(wildcards):
    settings = reweighting_of_sample(wildcards)
    return settings["table"] if settings else []


def settings_of_classifier(wildcards):
    """Input, model and training of the classifier, and of the one whose scores it reads."""
    return classifier_settings(study_of(wildcards), wildcards.classifier)


def source_of_classifier(wildcards):
    return settings_of_classifier(wildcards)["input"]


def training_priority(wildcards):
    """The longest trainings first, before all else: one that starts last ends alone."""
    source = source_of_classifier(wildcards)
    source = source.get("scores_of", source)
    if "image" in source or "jets" in source:
        return 3
    return 2 if "set" in source else 1


def classifier_input(wildcards):
    """Images, jets or sets that the classifier reads; nothing for high-level features alone."""
    source = source_of_classifier(wildcards)
    source = source.get("scores_of", source)
    # Images of a set are rendered in training: `image` then has their settings.
    for kind, folder in {"set": "sets", "image": "images", "jets": "jets"}.items():
        if kind in source:
            return collect(
                "results/{study}/{folder}/{name}/{sample}.parquet",
                study=wildcards.study,
                folder=folder,
                name=source[kind],
                sample=list(SAMPLES[wildcards.study]),
            )
    return []


def supervision_settings(wildcards):
    """How the labels are made; the list of seeds is left out, so that a new seed reruns no other."""
    settings = study_of(wildcards)["supervision"][wildcards.supervision]
    return {
        key: value
        for key, value in settings.items()
        if key not in ("seeds", "classifiers", "regions")
    }


def supervision_regions(wildcards):
    """Regions of this training where they are not those of the event table."""
    return study_of(wildcards)["supervision"][wildcards.supervision].get("regions")


def is_trained_here(wildcards):
    return is_trained(study_of(wildcards), wildcards.supervision)


def if_trained(files):
    """Input function: files of the study's own events, for all but networks taken as they are."""

    def found(wildcards):
        return files(wildcards) if is_trained_here(wildcards) else []

    return found


def training_of(wildcards):
    return Training(
        wildcards.classifier, wildcards.supervision, wildcards.lumi, int(wildcards.seed)
    )


def source_of_transfer(wildcards):
    """Study and training that a transfer takes over; None for all else."""
    if not is_transfer(wildcards.supervision):
        return None
    return transfer_source(study_of(wildcards), training_of(wildcards))


def transferred_training(wildcards):
    """What training.json says of the source of a transfer."""
    source = source_of_transfer(wildcards)
    return source and {"study": source[0], **source[1]._asdict()}


def transferred_file(name):
    """Input function: a file of the training that a transfer takes over."""

    def found(wildcards):
        source = source_of_transfer(wildcards)
        return f"{training_folder(*source)}/{name}" if source else []

    return found


def limit_settings(wildcards):
    settings = study_of(wildcards)["limits"]
    elsewhere = ("shapes", "scores", "systematics", "diagnostics", "poi_max")
    return {key: value for key, value in settings.items() if key not in elsewhere}


def luminosities_of_training(wildcards):
    """Luminosities in fb⁻¹ that a training serves: supervised training serves all."""
    if wildcards.lumi == ALL_LUMINOSITIES:
        return study_of(wildcards)["luminosities_fb"]
    return [float(wildcards.lumi)]


def systematics_of_classifier(wildcards):
    """Shape uncertainties of a classifier's score."""
    return list(shape_systematics(study_of(wildcards), wildcards.classifier))


def varied_scores(wildcards):
    folder = training_folder(wildcards.study, training_of(wildcards))
    return [f"{folder}/systematics/{name}.parquet" for name in systematics_of_classifier(wildcards)]


def files_of_limits(study, jobs, name):
    """A file or folder beside each of some limits, each once: several luminosities share one."""
    return list(dict.fromkeys(f"{limit_folder(study, job)}/{name}" for job in jobs))


def diagnosed_files(diagnostic, name):
    """Input function: a file beside every limit that a diagnostic looks at."""

    def files(wildcards):
        study = study_of(wildcards)
        analyses = study["limits"]["diagnostics"][diagnostic]
        return files_of_limits(study["name"], diagnosed(study, analyses), name)

    return files


def pseudo_experiment_files(name):
    """Input function: a file beside every limit that pseudo-experiments test."""

    def files(wildcards):
        study = study_of(wildcards)
        settings = study["limits"]["diagnostics"]["pseudo_experiments"]
        luminosity = f"{settings['luminosity_fb']:.10g}"
        jobs = diagnosed(study, settings["analyses"])
        jobs = (job for job in jobs if job.luminosity == luminosity)
        return files_of_limits(study["name"], jobs, name)

    return files


def all_diagnostics(wildcards):
    """Diagnostics of the fits, where studies ask for them."""
    for study, settings in studies_with_limits().items():
        diagnostics = settings["limits"]["diagnostics"]
        folder = f"results/{study}/summary"
        if diagnostics["impacts"]:
            yield f"{folder}/impacts.csv"
        if diagnostics["pulls"]:
            yield f"{folder}/pulls.csv"
            yield from collect(
                "{folder}/figures/pulls_lumi{lumi}.{suffix}",
                folder=folder,
                lumi=luminosity_labels(settings)[0],
                suffix=["pdf", "png"],
            )
        if "pseudo_experiments" in diagnostics:
            yield f"{folder}/coverage.csv"


def training_folder(study, job):
    folder = f"results/{study}/train/{job.classifier}/{job.supervision}"
    return f"{folder}/lumi{job.luminosity}/seed{job.seed}"


def training_folders(study):
    return [training_folder(study, job) for job in trainings(STUDIES[study])]


def training_of_limit(study, job):
    luminosity = training_luminosity(STUDIES[study], job.supervision, job.luminosity)
    return Training(job.analysis, job.supervision, luminosity, job.seed)


def limit_folder(study, job):
    """Folder of a limit and of those at the other luminosities that come from the same scores."""
    folder = f"results/{study}/limits/{job.analysis}"
    if job.seed is None:
        return folder
    training = training_of_limit(study, job)
    return f"{folder}/{job.supervision}/lumi{training.luminosity}/seed{job.seed}"


def study_metrics(wildcards):
    return [f"{folder}/metrics.json" for folder in training_folders(wildcards.study)]


def study_limits(wildcards):
    study = study_of(wildcards)
    return files_of_limits(study["name"], limits(study), "limits.json")


def study_workspaces(wildcards):
    study = study_of(wildcards)
    return files_of_limits(study["name"], limits(study), "workspaces")


def names_in_metrics(wildcards):
    return metric_names(study_of(wildcards))


def published_table(wildcards):
    return study_of(wildcards).get("published", [])


def study_scores(wildcards):
    return [f"{folder}/scores.parquet" for folder in training_folders(wildcards.study)]


def trainings_of_figure(wildcards, figures, kind):
    if wildcards.trainings not in figures:
        raise WorkflowError(
            f"study {wildcards.study!r} has no figure {kind}_{wildcards.trainings}; "
            f"it has: {', '.join(f'{kind}_{name}' for name in figures)}"
        )
    return figures[wildcards.trainings]


def roc_trainings(wildcards):
    """Trainings of a figure of ROC curves."""
    return trainings_of_figure(wildcards, roc_figures(study_of(wildcards)), "roc")


def score_trainings(wildcards):
    """Trainings of a figure of score distributions."""
    return trainings_of_figure(wildcards, score_figures(study_of(wildcards)), "score")


def scores_of(trainings_shown):
    """Input function: score tables of the trainings of a figure."""

    def files(wildcards):
        return [
            f"{training_folder(wildcards.study, job)}/scores.parquet"
            for job in trainings_shown(wildcards)
        ]

    return files


def score_panels(wildcards):
    """Classifier, supervision and seed of each panel of a figure of score distributions."""
    return [[job.classifier, job.supervision, job.seed] for job in score_trainings(wildcards)]


def first_luminosity(wildcards):
    return study_of(wildcards)["luminosities_fb"][0]


def roc_labels(wildcards):
    """Classifier, supervision and luminosity of each file of `roc_scores`."""
    return [[job.classifier, job.supervision, job.luminosity] for job in roc_trainings(wildcards)]


def names_of(trainings_shown):
    """Params function: what tells the classifiers of a figure apart."""

    def names(wildcards):
        shown = {job.classifier for job in trainings_shown(wildcards)}
        all_names = metric_names(study_of(wildcards))
        return {key: name for key, name in all_names.items() if key in shown}

    return names


def rendered_input(wildcards):
    """Set and image of a classifier, or the first of a set."""
    found = rendered_inputs(study_of(wildcards))
    if "classifier" in wildcards.keys():
        inputs = [source for name, source in found.items() if name == wildcards.classifier]
    else:
        inputs = [source for source in found.values() if source["set"] == wildcards.set]
    if not inputs:
        raise WorkflowError(
            f"study {wildcards.study!r} renders no such images; it does for the classifiers: "
            + (", ".join(found) or "none")
        )
    return inputs[0]


def rendered_set_files(wildcards):
    return collect(
        "results/{study}/sets/{set}/{sample}.parquet",
        study=wildcards.study,
        set=rendered_input(wildcards)["set"],
        sample=list(SAMPLES[wildcards.study]),
    )


def rendered_set_reference(wildcards):
    sets = study_of(wildcards)["represent"]["sets"]
    return sets[rendered_input(wildcards)["set"]]["reference"]


def rendered_pixels(wildcards):
    return rendered_input(wildcards)["image"]


def process_of_samples(wildcards):
    return {name: sample.process for name, sample in SAMPLES[wildcards.study].items()}


def figure_names(study):
    """Figures of a study without their suffix; those at one luminosity are drawn at the first."""
    settings = STUDIES[study]
    luminosity = luminosity_labels(settings)[0]
    if "limits" in settings:
        yield "limits"
    yield "cutflow"
    yield from (f"roc_{name}" for name in roc_figures(settings))
    yield from (f"images_{name}" for name in settings["represent"]["images"])
    rendered = rendered_inputs(settings)
    yield from (f"channels_{name}" for name in rendered)
    sets = dict.fromkeys(source["set"] for source in rendered.values())
    yield from (f"pt_map_{name}" for name in sets)
    yield from (f"feature_{name}_lumi{luminosity}" for name in settings["plots"]["features"])
    for name, sample in SAMPLES[study].items():
        if sample.process in settings["select"]["reweight"]:
            yield f"reweighting_{name}"
    if any("flavour_category" in text for text in settings["select"]["regions"].values()):
        yield "flavours"
    if "cwola" in settings["supervision"]:
        yield "controls"
    if len(settings["luminosities_fb"]) > 1:
        kinds = (kind for kind in settings["supervision"] if kind != CONTROL)
        yield from (f"auc_{kind}" for kind in kinds if depends_on_luminosity(settings, kind))
    if settings["plots"]["discrimination"]:
        yield "correlations"
        yield from (f"event_{name}" for name in settings["represent"]["images"])
    yield from (f"score_{name}" for name in score_figures(settings))


def all_figures(wildcards):
    return [
        f"results/{study}/summary/figures/{name}.{suffix}"
        for study in STUDIES
        for name in figure_names(study)
        for suffix in ("pdf", "png")
    ]


def all_skims(wildcards):
    return [
        f"results/{study}/skim/{sample}.parquet" for study in STUDIES for sample in SAMPLES[study]
    ]


def all_models(wildcards):
    return [f"{folder}/model.pt" for study in STUDIES for folder in training_folders(study)]


def study_notes(wildcards):
    """What figures and tables of the study say of processes that it lacks."""
    study = study_of(wildcards)
    return mixture_notes(
        study["supervision"].get("supervised", {}).get("mixture"), process_roles(wildcards)
    )


def leading_trainings(study):
    """First trainings of the supervision that the study names first."""
    jobs = first_trainings(STUDIES[study])
    return [job for job in jobs if job.supervision == jobs[0].supervision]


def leading_classifiers(wildcards):
    return [job.classifier for job in leading_trainings(wildcards.study)]


def leading_scores(wildcards):
    return [
        f"{training_folder(wildcards.study, job)}/scores.parquet"
        for job in leading_trainings(wildcards.study)
    ]


def all_discrimination(wildcards):
    return [
        f"results/{study}/summary/{table}.csv"
        for study in STUDIES
        if STUDIES[study]["plots"]["discrimination"]
        for table in ("separation", "correlations", "overtraining")
    ]


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
                    part=range(len(sample_parts(study, name))),
                )
            ),
        }
        for name, sample in SAMPLES[study].items()
    }


def generated_sources(study):
    """What the generator says of the parts of each produced sample, minimum bias included."""
    settings = STUDIES[study]
    represent = settings["represent"]
    representations = [*represent["images"].values(), *represent["sets"].values()]
    overlaid = {entry["pile_up"]["library"] for entry in representations if "pile_up" in entry}
    libraries = [represent["pile_up_libraries"][name] for name in overlaid]
    produced = {name for name, sample in SAMPLES[study].items() if sample.is_produced}
    produced |= {library["sample"] for library in libraries if "sample" in library}
    return {name: produced_files(study, name, "json") for name in sorted(produced)}


def training_files(folder):
    names = {"model": "model.pt", "scores": "scores.parquet"}
    names |= {"metrics": "metrics.json", "training": "training.json"}
    return {kind: f"{folder}/{name}" for kind, name in names.items()}


def limit_files(study, job):
    """Files of one limit, and of the training behind it."""
    folder = limit_folder(study, job)
    files = {
        "limits": f"{folder}/limits.json",
        "workspaces": f"{folder}/workspaces",
        "luminosity_fb": float(job.luminosity),
    }
    if job.seed is None:
        return files
    return files | training_files(training_folder(study, training_of_limit(study, job)))


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
    paths = [path for job in jobs for kind, path in job.items() if kind != "luminosity_fb"]
    paths += [*sources["pile_up_libraries"].values(), *sources["generated"].values()]
    flat = [path for entry in paths for path in ([entry] if isinstance(entry, str) else entry)]
    return list(dict.fromkeys(path for path in flat if not is_remote(path)))
