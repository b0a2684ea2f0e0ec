"""A tagger of h -> gamma gamma with test folds, and its transfer to another study with limits."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from conftest import Project
from cwolaflow.tables import METRIC_COLUMNS, read_metrics

HEADER = "sample process files cross_section_pb k_factor branching_fraction filter_efficiency"
# Branching fractions with which 300 real events of each are enough.
SAMPLES = {
    "tagger": """
vbf_haa vbf tests/data/delphes_14tev/vbf_haa.root 1.0 1 2e-4 1
ggf_haa ggf tests/data/delphes_14tev/ggf_haa.root 6.0 1 1e-4 1
""",
    "target": """
vbf_hinv vbf_hinv tests/data/delphes/vbf_hinv.root 3.545 1.067 1e-3 0.0404
znunu_qcd z_qcd tests/data/delphes/znunu_qcd.root 32.4 1.216 8e-5 0.1268
""",
}
NETWORK = {
    "model": {
        "name": "particle_transformer",
        "embedding": [8],
        "heads": 2,
        "feed_forward": 8,
        "particle_blocks": 1,
        "class_blocks": 1,
    },
    "training": {
        "optimiser": "adam",
        "learning_rate": 4.0e-3,
        "batch_size": 16,
        "max_epochs": 2,
        "monitor": "loss",
    },
}
SET = {"reference": "pt_centroid", "max_towers": 20, "max_tracks": 20, "order": "file"}
TAGGER = {
    "title": "tagger",
    "sqrt_s_tev": 14,
    "seed": 1,
    "samples": "config/samples/tagger.tsv",
    "published": "published.yaml",
    "processes": {
        "ggf": {"role": "background", "label": "ggF", "colour": "#5790fc"},
        "vbf": {"role": "signal", "label": "VBF", "colour": "#e42536"},
    },
    "skim": {
        "objects": {"photon": {"collection": "photons"}},
        "cuts": [{"name": "jets", "require": "n_jet >= 2 and n_photon >= 1"}],
    },
    "select": {
        "folds": 3,
        "test_folds": [1],
        "regions": {"SR": "flavour_category == '2q0g'", "SB": "flavour_category != '2q0g'"},
    },
    "represent": {"sets": {"constituents": SET | {"decay_products": {"photons": 2}}}},
    "classifiers": {
        "part_with": {
            "network": "part",
            "input": {"set": "constituents", "decay_products": "with"},
            **NETWORK,
        },
        "part_without": {
            "network": "part",
            "input": {"set": "constituents", "decay_products": "without"},
            "model": NETWORK["model"],
            "training": NETWORK["training"] | {"augmentation": {"phi_shift": {"copies": 2}}},
        },
    },
    "supervision": {
        "cwola": {"seeds": [1, 2]},
        "cwola_control": {"seeds": [1], "classifiers": ["part_with"], "signal_scale": 0},
    },
    "luminosities_fb": [300],
}
PUBLISHED = {
    "source": "nowhere",
    "aucs": [
        {
            "classifier": "part",
            "supervision": "cwola",
            "decay_products": "without",
            "augmentation": "+2",
            "luminosity_fb": 300,
            "auc": 0.7,
            "auc_std": 0.1,
        }
    ],
}
SOURCE = {"study": "tagger", "supervision": "cwola", "classifier": "part_without"}
TARGET = {
    "extends": "hinv-mini.yaml",
    "samples": "config/samples/target.tsv",
    "luminosities_fb": [300],
    "processes": {"w_qcd": None, "ggf_hinv": None},
    "select": {"folds": 2, "reweight": {"ggf_hinv": None}},
    "represent": {"images": None, "sets": {"particles": None, "constituents": SET}},
    "classifiers": {
        "ann_h": None,
        "cnn_pj_lr": None,
        "part": None,
        "transfer_tagger": {"input": {"set": "constituents"}, **NETWORK},
    },
    "supervision": {
        "supervised": None,
        "cwola": None,
        "transfer": {"seeds": [1], "classifiers": ["transfer_tagger"], "from": SOURCE},
        "transfer_tuned": {
            "seeds": [1],
            "classifiers": ["transfer_tagger"],
            "from": SOURCE,
            "fine_tune": {"learning_rate": 1.0e-3, "max_epochs": 1},
        },
    },
    "limits": {
        "shapes": dict.fromkeys(
            ("m_jj", "m_jj_met250", "delta_eta_jj", "delta_eta_jj_met250"), None
        ),
        "cross_section_uncertainty": {"w_qcd": None, "ggf_hinv": None},
        "max_bin_error": 0.5,
    },
}
FIGURES = ("controls", "flavours", "auc_cwola")
TARGETS = [
    "results/tagger/summary/metrics.csv",
    "results/target/summary/metrics.csv",
    "results/target/summary/limits.csv",
    *(f"results/tagger/summary/figures/{name}.png" for name in FIGURES),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("transfer"))
    for name, rows in SAMPLES.items():
        table = "\n".join("\t".join(row.split()) for row in (HEADER + rows).splitlines()) + "\n"
        (project.folder / f"config/samples/{name}.tsv").write_text(table)
    (project.folder / "published.yaml").write_text(yaml.safe_dump(PUBLISHED))
    for name, study in {"tagger": TAGGER, "target": TARGET}.items():
        (project.folder / f"config/studies/{name}.yaml").write_text(yaml.safe_dump(study))
    configure(project, "tagger", "target")
    project.run(*TARGETS)
    return project


def configure(project: Project, *names: str) -> None:
    studies = [f"config/studies/{name}.yaml" for name in names]
    config = {"studies": studies, "device": "cpu", "training_threads": 1}
    (project.folder / "config/config.yaml").write_text(yaml.safe_dump(config))


def training(results: Path, job: str) -> dict:
    return json.loads((results / "train" / job / "training.json").read_text())


def test_metrics_of_the_tagger(project):
    results = project.folder / "results/tagger"
    events = pd.concat(map(pd.read_parquet, sorted((results / "events").glob("*.parquet"))))
    test = events[events["fold"] == 1]
    metrics = read_metrics(results / "summary/metrics.csv")
    assert tuple(metrics) == METRIC_COLUMNS
    assert set(metrics["classifier"]) == {"part"}
    assert metrics.groupby(["decay_products", "augmentation"]).ngroups == 2
    single = metrics[~metrics["seed"].isin(["mean", "std"])]
    assert len(single) == 2 * 2 + 1
    assert set(single["n_test_signal"]) == {int((test["label"] == 1).sum())}
    assert set(single["n_test_background"]) == {int((test["label"] == 0).sum())}
    cwola = metrics[metrics["supervision"] == "cwola"]
    assert cwola.groupby("seed").size().to_dict() == {"1": 2, "2": 2, "mean": 2, "std": 2}
    by_seed = cwola.set_index(["decay_products", "luminosity_fb", "seed"])
    both = by_seed.loc[("with", 300), "auc"][["1", "2"]]
    assert by_seed.loc[("with", 300, "mean"), "auc"] == pytest.approx(both.mean(), rel=1e-5)
    assert by_seed.loc[("with", 300, "std"), "auc"] == pytest.approx(both.std(), rel=1e-4)
    assert (cwola["published_auc"].notna() == (cwola["augmentation"] == "+2")).all()
    control = metrics[metrics["supervision"] == "cwola_control"].squeeze()
    assert (control["f1"], control["f2"]) == (0, 0)
    row = by_seed.loc[("with", 300, "1")]
    assert row["auc_no_signal"] == control["auc"]
    assert row["f1"] > row["f2"] > 0
    implied = 0.5 + (row["f1"] - row["f2"]) * (row["auc"] - 0.5)
    assert row["auc_mixed_implied"] == pytest.approx(implied, abs=1e-5)
    excess = row["auc_mixed"] - row["auc_mixed_implied"]
    assert row["auc_mixed_excess"] == pytest.approx(excess, abs=1e-5)
    assert cwola.loc[cwola["decay_products"] == "without", "auc_no_signal"].isna().all()


def test_only_test_events_have_scores(project):
    results = project.folder / "results/tagger"
    job = "part_with/cwola/lumi300/seed1"
    scores = pd.read_parquet(results / "train" / job / "scores.parquet")
    assert set(scores["fold"]) == {1}
    assert scores["score"].between(0, 1).all()
    # The cross section in fb, of the share of events that pass.
    for name, expected in {"vbf_haa": 0.2, "ggf_haa": 0.6}.items():
        events = pd.read_parquet(results / f"events/{name}.parquet")
        found = scores.loc[scores["sample"] == name, "weight_fb"].sum()
        assert found == pytest.approx(expected * len(events) / 300)
    assert len(training(results, job)["folds"]) == 1


def test_unchanged_transfer(project):
    results = project.folder / "results/target"
    job = "transfer_tagger/transfer/lumi300/seed1"
    folder = results / "train" / job
    history = pd.read_parquet(folder / "history.parquet")
    source = project.folder / "results/tagger/train/part_without/cwola/lumi300/seed1"
    assert history.empty
    assert list(history) == list(pd.read_parquet(source / "history.parquet"))
    summary = training(results, job)
    assert summary["transferred"] == {
        "study": "tagger",
        "classifier": "part_without",
        "supervision": "cwola",
        "luminosity": "300",
        "seed": 1,
    }
    original = json.loads((source / "training.json").read_text())
    assert summary["source_mixture"]["n_m1"] == original["n_m1"]
    scores = pd.read_parquet(folder / "scores.parquet")
    events = pd.concat(map(pd.read_parquet, sorted((results / "events").glob("*.parquet"))))
    assert len(scores) == len(events)


def test_metrics_and_limits_of_the_target(project):
    summary = project.folder / "results/target/summary"
    metrics = read_metrics(summary / "metrics.csv").set_index("supervision")
    assert metrics["classifier"].to_dict() == {
        "transfer": "transfer_tagger",
        "transfer_tuned": "transfer_tagger",
    }
    assert metrics["luminosity_fb"][["transfer", "transfer_tuned"]].tolist() == [300, 300]
    assert pd.isna(metrics["n_m1"]["transfer"])
    assert metrics["n_m1"]["transfer_tuned"] > 0
    limits = pd.read_csv(summary / "limits.csv")
    transferred = limits[limits["analysis"] == "transfer_tagger"]
    assert transferred["supervision"].tolist() == ["transfer", "transfer_tuned"]
    assert (transferred["median"] > 0).all()


def test_overtraining_of_one_network(project):
    folder = project.folder / "results/tagger/train/part_with/cwola/lumi300/seed1"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["overtraining"]["auc"] == metrics["auc"]
    assert 0 <= metrics["overtraining"]["auc_train"] <= 1


def test_figures_of_a_whole_run(project):
    planned = project.planned()
    assert planned["plot_flavours"] == 1  # of the target; that of the tagger is there
    assert not {"plot_controls", "plot_areas"} & planned.keys()


def test_transferring_as_it_is_needs_no_event_of_the_target(project):
    folder = "results/target/train/transfer_tagger"
    job = f"{folder}/transfer/lumi600/seed7/model.pt"
    planned = project.planned(job)
    # At a luminosity and seed of its own: the source is trained, and taken over.
    assert planned == {"train_classifier": 2}


def test_source_study_must_be_loaded(project):
    configure(project, "target")
    try:
        run = project.snakemake("--dry-run")
    finally:
        configure(project, "tagger", "target")
    assert run.returncode != 0
    text = run.stdout + run.stderr
    assert "study 'target': 'supervision.transfer.from': the study 'tagger' is not in" in text
