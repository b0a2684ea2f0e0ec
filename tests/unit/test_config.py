"""Config, studies and sample tables: what is accepted, and what each mistake is answered with."""

import re
from pathlib import Path

import pytest
import yaml

from cwolaflow.config.plan import (
    Limit,
    Training,
    augmentation_label,
    classifier_settings,
    limits,
    metric_names,
    mixture_notes,
    production_parts,
    productions,
    rendered_inputs,
    roc_figures,
    score_figures,
    trainings,
)
from cwolaflow.config.reference import configuration_page
from cwolaflow.config.samples import COLUMNS, load_pile_up_libraries, load_samples, skim_parts
from cwolaflow.config.study import load_config, load_study, merge
from cwolaflow.config.yaml import read_yaml
from cwolaflow.errors import ConfigError

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "config" / "studies").glob("*.yaml"))


def write_study(folder: Path, **changes) -> Path:
    path = folder / "changed.yaml"
    path.write_text(
        yaml.safe_dump({"extends": str(ROOT / "config/studies/hinv-mini.yaml"), **changes})
    )
    return path


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_shipped_studies_are_valid(path):
    study = load_study(path)
    assert study["name"] == path.stem


def test_shipped_config_is_valid():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert load_config(config)["training_threads"] >= 1


def test_merge_replaces_lists_merges_mappings_and_removes_nulls():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 3}
    assert merge(base, {"a": {"y": [9]}, "b": None, "c": 4}) == {"a": {"x": 1, "y": [9]}, "c": 4}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 3}


def test_defaults_are_filled(tmp_path):
    study = load_study(write_study(tmp_path, plots=None))
    assert study["plots"] == {
        "dpi": 150,
        "discrimination": False,
        "features": ["m_jj", "delta_eta_jj"],
    }
    assert study["supervision"]["cwola"]["numbers"] == "rounded"


def test_names_in_the_metrics():
    names = metric_names(load_study(ROOT / "config/studies/hinv-mini.yaml"))
    assert names["ann_h"] == {
        "classifier": "ann_h",
        "decay_products": "",
        "augmentation": "none",
    }
    named = {
        "network": "part",
        "input": {"set": "s", "decay_products": "without"},
        "training": {"augmentation": {"phi_shift": {"copies": 10, "angles": "random"}}},
    }
    assert metric_names({"classifiers": {"x": named}}) == {
        "x": {"classifier": "part", "decay_products": "without", "augmentation": "+10"}
    }


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_figures_of_roc_curves_show_every_training_on_few_panels(path):
    study = load_study(path)
    figures = roc_figures(study)
    shown = {job for jobs in figures.values() for job in jobs}
    assert shown == set(trainings(study))
    for name, jobs in figures.items():
        kinds = {job.supervision for job in jobs}
        assert name.split("_page")[0] in kinds
        assert len(kinds - {"supervised"}) <= 1
        is_compared = {job.luminosity for job in jobs} == {"all"}
        assert len({job.classifier for job in jobs}) <= (10 if is_compared else 6)
        # Without the seeds: curves of a panel.
        curves = {job[:3] for job in jobs if job.classifier == jobs[0].classifier}
        assert len(curves) <= 1 + len(study["luminosities_fb"])


def test_figures_of_roc_curves_by_name():
    figures = roc_figures(load_study(ROOT / "config/studies/vbf_ggf.yaml"))
    variants = [f"{decay}{copies}" for decay in ("with", "without") for copies in ("", "_plus5")]
    for number, network in enumerate(("cnn", "part", "bdt"), start=1):
        classifiers = {job.classifier for job in figures[f"cwola_page{number}"]}
        others = {"jet_cnn"} if network == "bdt" else set()
        assert {name.split("_")[0] for name in classifiers - others} == {network}
        if network != "bdt":
            assert classifiers > {f"{network}_{variant}" for variant in variants}
    assert {job.supervision for job in figures["cwola_page1"]} == {"supervised", "cwola"}
    assert {job.supervision for job in figures["supervised"]} == {"supervised"}
    assert list(roc_figures(load_study(ROOT / "config/studies/hinv-quick.yaml"))) == [
        "supervised",
        "cwola",
    ]


def test_a_network_of_many_variants_fills_pages():
    study = load_study(ROOT / "config/studies/vbf_ggf.yaml")
    base = study["classifiers"]["part_with"]
    study["classifiers"] = {f"part_{number}": base for number in range(14)}
    study["supervision"] = {"cwola": study["supervision"]["cwola"] | {"seeds": [1]}}
    pages = roc_figures(study)
    assert list(pages) == ["cwola_page1", "cwola_page2", "cwola_page3"]
    assert [len({job.classifier for job in jobs}) for jobs in pages.values()] == [6, 6, 2]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_classifier_has_a_panel_of_scores(path):
    study = load_study(path)
    figures = score_figures(study)
    shown = [job for jobs in figures.values() for job in jobs]
    assert {job[:2] for job in shown} == {job[:2] for job in trainings(study)}
    assert len({job[:2] for job in shown}) == len(shown)
    assert set(shown) <= set(trainings(study))
    for name, jobs in figures.items():
        assert {job.supervision for job in jobs} == {name.split("_page")[0]}
        assert len(jobs) <= 6
        for job in jobs:
            assert job.seed == study["supervision"][job.supervision]["seeds"][0]
            assert job.luminosity in ("all", f"{study['luminosities_fb'][0]:g}")


def test_images_that_are_drawn_are_those_that_differ():
    rendered = rendered_inputs(load_study(ROOT / "config/studies/vbf_ggf.yaml"))
    assert {name: source["decay_products"] for name, source in rendered.items()} == {
        "cnn_with": "with",
        "cnn_without": "without",
    }
    assert rendered_inputs(load_study(ROOT / "config/studies/hinv.yaml")) == {}


@pytest.mark.parametrize(
    ("config", "label"),
    [
        (None, "none"),
        ({"phi_shift": {"copies": 5, "angles": "random", "originals": "keep"}}, "+5"),
        (
            {"phi_shift": {"copies": 2, "angles": [90, 180], "originals": "drop"}},
            "+2 at fixed angles without originals",
        ),
        ({"pt_smear": {"copies": 1}, "phi_shift": {"copies": 5}}, "+5 and +1 pt_smear"),
    ],
)
def test_augmentation_labels(config, label):
    assert augmentation_label(config) == label


def test_options_of_sets_rendered_images_and_augmentation(tmp_path):
    represent = {
        "sets": {
            "particles": {
                "reference": "pt_centroid",
                "order": "file",
                "decay_products": {"photons": 2},
            }
        }
    }
    image = {"eta_bins": 40, "phi_bins": 40, "eta_range": [-5, 5]}
    part = {
        "input": {"decay_products": "with", "image": image},
        "training": {"augmentation": {"phi_shift": {"copies": 5}}},
    }
    study = load_study(write_study(tmp_path, represent=represent, classifiers={"part": part}))
    classifier = study["classifiers"]["part"]
    assert classifier["input"]["image"] == image | {"out_of_range": "clip", "standardise": "event"}
    shift = {"copies": 5, "angles": "random", "originals": "keep"}
    assert classifier["training"]["augmentation"] == {"phi_shift": shift}
    # Nothing is filled into what other studies say of their inputs.
    assert study["classifiers"]["cnn_pj_lr"]["input"] == {"image": "pj_lr"}


TREES = {
    "input": {"features": ["kinematic", "radiation"]},
    "model": {"name": "gradient_boosting", "max_leaf_nodes": 8, "min_samples_leaf": 20, "l2_regularization": 0},
    "training": {"learning_rate": 0.1, "max_iter": 50, "monitor": "loss"},
}  # fmt: skip


JET_CNN = {
    "input": {"jets": "leading"},
    "model": {"name": "jet_cnn", "filters": [4], "residual_blocks": 0, "dense": [4]},
    "training": {"optimiser": "adam", "learning_rate": 0.1, "batch_size": 9, "max_epochs": 3, "monitor": "loss"},
}  # fmt: skip
JETS = {"jets": {"leading": {"bins": 33, "half_width": 0.5}}}
ON_JETS = TREES | {"input": {"features": ["radiation"], "scores_of": {"classifier": "jet_cnn"}}}


def test_trees_take_over_the_settings_of_the_network_whose_scores_they_read(tmp_path):
    classifiers = {"jet_cnn": JET_CNN, "bdt": TREES, "bdt_jets": ON_JETS}
    study = load_study(write_study(tmp_path, represent=JETS, classifiers=classifiers))
    assert classifier_settings(study, "bdt") == TREES
    assert classifier_settings(study, "jet_cnn") == JET_CNN
    settings = classifier_settings(study, "bdt_jets")
    assert settings == {
        "input": {"features": ["radiation"], "scores_of": JET_CNN["input"]},
        "model": TREES["model"] | {"scores_of": {"model": JET_CNN["model"], "networks": 5}},
        "training": TREES["training"] | {"scores_of": JET_CNN["training"]},
    }
    assert study["classifiers"]["bdt_jets"]["input"]["scores_of"]["classifier"] == "jet_cnn"


def test_decay_products_of_jets_and_of_trees_that_read_their_scores():
    names = metric_names(load_study(ROOT / "config/studies/vbf_ggf.yaml"))
    found = {
        key: (names[key]["classifier"], names[key]["decay_products"])
        for key in ("jet_cnn", "bdt_jet_cnn_with", "bdt_jet_cnn_without")
    }
    assert found == {
        "jet_cnn": ("jet_cnn", "without"),
        "bdt_jet_cnn_with": ("bdt_jet_cnn", "with"),
        "bdt_jet_cnn_without": ("bdt_jet_cnn", "without"),
    }


def test_boosted_trees_have_a_training_of_their_own(tmp_path):
    trees = TREES | {"training": TREES["training"] | {"patience": 5, "max_events": 100}}
    select = {"features": ["vbf_jets", "vbf_higgs"], "decay_products": {"leptons": 4}}
    jets = trees | {"input": {"features": ["radiation", "vbf_jets", "vbf_higgs"]}}
    study = load_study(
        write_study(tmp_path, classifiers={"bdt": trees, "bdt_jets": jets}, select=select)
    )
    assert study["classifiers"]["bdt"] == trees
    assert study["classifiers"]["bdt_jets"] == jets


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"luminosity": 3}, ["unknown key 'luminosity'", "luminosities_fb"]),
        ({"skim": {"cut": []}}, ["unknown key 'skim.cut'", "did you mean 'cuts'"]),
        ({"luminosities_fb": [36, -1]}, ["luminosities_fb.1", "-1"]),
        ({"luminosities_fb": [36, 36]}, ["luminosities_fb", "non-unique"]),
        ({"supervision": {"cwola": {"seeds": []}}}, ["supervision.cwola.seeds"]),
        ({"select": {"folds": 1}}, ["select.folds", "1 is less than the minimum of 2"]),
        ({"classifiers": {"ann_h": {"model": {"hidde": [3]}}}}, ["classifiers.ann_h.model.hidde", "did you mean 'hidden'"]),
        ({"classifiers": {"ann_h": {"model": {"name": "densse"}}}}, ["'densse' is none of", "did you mean 'dense'"]),
        ({"classifiers": {"cnn_pj_lr": {"input": {"image": "pj_hr"}}}}, ["classifiers.cnn_pj_lr.input.image", "did you mean 'pj_lr'"]),
        ({"classifiers": {"ann_h": {"training": {"learning_rate": "1e-3"}}}}, ["learning_rate", "write 1.0e-3"]),
        ({"represent": {"images": {"pj_lr": {"pile_up": {"library": "minbias", "mean": 20}}}}}, ["'represent.images.pj_lr.pile_up.library': unknown name 'minbias'", "known are minimum_bias"]),
        ({"represent": {"pile_up_libraries": {"minbias": {"files": ["a.root"]}}, "sets": {"particles": {"pile_up": {"library": "minbia", "mean": 20}}}}}, ["represent.sets.particles.pile_up.library", "did you mean 'minbias'"]),
        ({"represent": {"images": {"pj_lr": {"pile_up": {"library": "minbias", "mean": -1, "sead": 1}}}}}, ["represent.images.pj_lr.pile_up.mean", "-1", "unknown key 'represent.images.pj_lr.pile_up.sead'"]),
        ({"represent": {"pile_up_libraries": {"minbias": {"files": []}}}}, ["represent.pile_up_libraries.minbias.files"]),
        ({"represent": {"sets": {"particles": {"order": "eta", "decay_products": {"photon": 2}}}}}, ["represent.sets.particles.order", "decay_products.photon'", "did you mean 'photons'"]),
        ({"represent": {"sets": {"particles": {"variance_over": "slots"}}}}, ["'represent.sets.particles.variance_over'", "pt_centroid only", "leading_jet; take it out"]),
        ({"represent": {"sets": {"particles": {"decay_products": {"photons": 2}}}}}, ["missing key 'classifiers.part.input.decay_products'", "with, without"]),
        ({"classifiers": {"part": {"input": {"decay_products": "without"}}}}, ["'classifiers.part.input.decay_products': the set 'particles' has none", "represent.sets.particles.decay_products"]),
        ({"classifiers": {"part": {"input": {"decay_product": "without"}}}}, ["classifiers.part.input.decay_product'", "did you mean 'decay_products'"]),
        ({"classifiers": {"part": {"input": {"image": {"eta_bins": 4, "phi_bins": 4, "eta_range": [-5, 5]}, "standardise_pt": "log"}}}}, ["'classifiers.part.input.standardise_pt'", "image.standardise"]),
        ({"classifiers": {"ann_h": {"training": {"augmentation": {"pt_smear": {"copies": 1}}}}}}, ["'classifiers.ann_h.training.augmentation'", "input with a set, or take it out"]),
        ({"classifiers": {"cnn_pj_lr": {"training": {"augmentation": {"phi_shift": {"copies": 1}}}}}}, ["'classifiers.cnn_pj_lr.training.augmentation'"]),
        ({"classifiers": {"part": {"training": {"augmentation": {"phi_shift": {"copies": 3, "angles": [30, 60]}}}}}}, ["'classifiers.part.training.augmentation.phi_shift'", "2 angles for 3 copies"]),
        ({"classifiers": {"part": {"training": {"augmentation": {"phi_shift": {"copies": 0, "angles": "any"}}}}}}, ["phi_shift.copies': 0", "phi_shift.angles': 'any' does not match"]),
        ({"classifiers": {"bdt": TREES | {"training": TREES["training"] | {"optimiser": "adam"}}}}, ["unknown key 'classifiers.bdt.training.optimiser'"]),
        ({"classifiers": {"bdt": TREES | {"training": {"learning_rate": 0.1, "max_epochs": 3, "monitor": "loss"}}}}, ["unknown key 'classifiers.bdt.training.max_epochs'", "missing key 'classifiers.bdt.training.max_iter'"]),
        ({"classifiers": {"bdt": TREES | {"training": TREES["training"] | {"augmentation": {"pt_smear": {"copies": 1}}}}}}, ["unknown key 'classifiers.bdt.training.augmentation'"]),
        ({"classifiers": {"bdt": TREES | {"model": TREES["model"] | {"hidden": [3]}}}}, ["unknown key 'classifiers.bdt.model.hidden'"]),
        ({"classifiers": {"bdt": TREES | {"input": {"image": "pj_lr"}}}}, ["'classifiers.bdt.model.name': gradient_boosting reads features"]),
        ({"classifiers": {"bdt": TREES | {"input": {"features": ["vbf_jets"]}}}}, ["'classifiers.bdt.input.features': vbf_jets is not in the event table", "select.features"]),
        ({"classifiers": {"jet_cnn": JET_CNN}}, ["classifiers.jet_cnn.input.jets", "unknown name 'leading'"]),
        ({"classifiers": {"jet_cnn": JET_CNN | {"input": {"image": "pj_lr"}}}}, ["'classifiers.jet_cnn.model.name': jet_cnn and input.jets belong together", "with image"]),
        ({"represent": JETS, "classifiers": {"jet_cnn": JET_CNN | {"training": JET_CNN["training"] | {"augmentation": {"pt_smear": {"copies": 1}}}}}}, ["'classifiers.jet_cnn.training.augmentation': only constituents"]),
        ({"represent": JETS, "classifiers": {"jet_cnn": JET_CNN}, "limits": {"systematics": {"scale": {"kind": "energy_scale", "size": 0.1, "classifiers": ["jet_cnn"]}}}}, ["jet_cnn reads jets, for which no energy scale"]),
        ({"classifiers": {"bdt_jets": ON_JETS}}, ["'classifiers.bdt_jets.input.scores_of.classifier': unknown name 'jet_cnn'"]),
        ({"classifiers": {"bdt": TREES, "bdt_two": ON_JETS | {"input": {"features": ["radiation"], "scores_of": {"classifier": "bdt"}}}}}, ["'classifiers.bdt_two.input.scores_of.classifier': bdt is boosted trees"]),
        ({"classifiers": {"ann_h": {"input": {"scores_of": {"classifier": "part"}}}}}, ["'classifiers.ann_h.input.scores_of': is for gradient_boosting only"]),
        ({"represent": JETS, "classifiers": {"jet_cnn": JET_CNN, "bdt_jets": ON_JETS | {"input": {"features": ["radiation"], "scores_of": {"classifier": "jet_cnn", "parts": 1}}}}}, ["classifiers.bdt_jets.input.scores_of.parts", "minimum of 2"]),
        ({"classifiers": {"ann_h": {"training": {"max_iter": 3}}}}, ["unknown key 'classifiers.ann_h.training.max_iter'"]),
        ({"select": {"features": ["vbf_higgs"]}}, ["missing key 'select.decay_products'", "photons, leptons or both"]),
        ({"select": {"features": ["vbf_jet"]}}, ["select.features.0", "did you mean 'vbf_jets'"]),
        ({"supervision": {"supervised": {"mixture": {"signal": {"vbf_hinv": None}}}}}, ["mixture.signal' lacks process 'vbf_hinv'"]),
        ({"supervision": {"cwola": {"classifiers": ["ann"]}}}, ["supervision.cwola.classifiers", "'ann'", "did you mean 'ann_h'"]),
        ({"supervision": {"control": {"seeds": [1]}}}, ["unknown key 'supervision.control'"]),
        ({"supervision": {"cwola_k": {"seeds": [1], "regions": {"SR": "m_jj > 1"}}}}, ["missing key 'supervision.cwola_k.regions.SB'"]),
        ({"select": {"reweight": {"ggf": {"table": "w.yaml"}}}}, ["'select.reweight': unknown name 'ggf'"]),
        ({"supervision": {"supervised": {"mixture": {"signal": {"vbf_hin": 0.4}}}}}, ["mixture.signal", "did you mean 'vbf_hinv'"]),
        ({"limits": {"cross_section_uncertainty": {"z_qcd": None}}}, ["limits.cross_section_uncertainty.z_qcd"]),
        ({"limits": {"shapes": {"ann_h": {"analysis": "m_jj", "variable": "m_jj", "range": [0, 1], "bins": 2, "met_cut_gev": 200}}}}, ["both have 'ann_h'"]),
        ({"limits": {"shapes": {"again": {"analysis": "m_jj", "variable": "m_jj", "range": [0, 1], "bins": 2, "met_cut_gev": 200}}}}, ["'m_jj' and 'again' would be the same row"]),
        ({"select": {"folds": 3, "test_folds": [0, 3]}, "limits": None}, ["'select.test_folds': there is no fold 3", "0 to 2"]),
        ({"select": {"folds": 2, "test_folds": [1, 0]}, "limits": None}, ["leaves no fold to train on"]),
        ({"select": {"test_folds": [0]}}, ["'select.test_folds': limits are set with the scores of all events", "take it out, or 'limits'"]),
        ({"classifiers": {"ann_h": {"network": "part"}}}, ["'ann_h' and 'part' would be the same row of metrics.csv", "another 'network' than 'part'"]),
        ({"processes": {"vbf_hinv": {"role": "background"}, "ggf_hinv": {"role": "background"}}}, ["no signal"]),
    ],
)  # fmt: skip
def test_bad_studies_name_file_key_and_remedy(tmp_path, changes, words):
    path = write_study(tmp_path, **changes)
    with pytest.raises(ConfigError) as error:
        load_study(path)
    text = one_line(error)
    for word in [str(path), *words]:
        assert word in text


def test_all_problems_are_shown_at_once(tmp_path):
    path = write_study(tmp_path, sedd=1, luminosities_fb=[], select={"folds": 0})
    with pytest.raises(ConfigError) as error:
        load_study(path)
    for word in ("sedd", "did you mean 'seed'", "luminosities_fb", "select.folds"):
        assert word in one_line(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2\n", ["line 2", "'a' stands twice"]),
        ("a: [1\n", ["line 2"]),
        ("- 1\n", ["no mapping"]),
        ("!!python/object/apply:os.getcwd []\n", ["line 1", "could not determine a constructor"]),
    ],
)
def test_unreadable_yaml_names_the_line(tmp_path, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_study(path)
    for word in [str(path), *words]:
        assert word in one_line(error)


def test_circular_extends_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match="extends"):
        load_study(tmp_path / "a.yaml")


def test_two_studies_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two files are called 'a'"):
        load_config({"studies": ["x/a.yaml", "y/a.yaml"]})


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write a sample table beside three files; returns a function of the rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("z_1", "z_2", "vbf"):
        (tmp_path / "data" / f"{name}.root").write_bytes(b"root")

    def write(*rows, columns=COLUMNS):
        header = "\t".join(columns)
        path = tmp_path / "samples.tsv"
        path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")
        return path

    return write


GOOD = ("z", "z_qcd", "data/z_*.root", "32.4", "1.2", "1", "0.5")
SIGNAL = ("vbf", "vbf_hinv", "data/vbf.root", "3.5", "1", "1", "1")
PROCESSES = ["z_qcd", "vbf_hinv"]


def test_globs_lists_absolute_paths_and_addresses(table, tmp_path):
    absolute = str(tmp_path / "data" / "vbf.root")
    path = table(GOOD, ("vbf", "vbf_hinv", f"{absolute}, root://host//a.root", *SIGNAL[3:]))
    samples = load_samples(path, PROCESSES)
    assert samples["z"].files == ("data/z_1.root", "data/z_2.root")
    assert samples["vbf"].files == (absolute, "root://host//a.root")
    assert samples["z"].row == {
        "sample": "z",
        "process": "z_qcd",
        "cross_section_pb": 32.4, "k_factor": 1.2, "branching_fraction": 1.0, "filter_efficiency": 0.5
    }  # fmt: skip


@pytest.mark.parametrize(("text", "cross_section"), [("", None), ("54.67", 54.67)])
def test_a_produced_sample_has_no_files_and_perhaps_a_cross_section(table, text, cross_section):
    path = table(("made", "z_qcd", "", text, "1.2", "1", "1"), SIGNAL)
    sample = load_samples(path, PROCESSES, produced=["made"])["made"]
    assert sample.is_produced
    assert sample.row["cross_section_pb"] == cross_section
    assert sample.row["k_factor"] == 1.2


def test_parts_of_a_production_do_not_depend_on_their_number():
    def study(name, events, **changes):
        produce = {"events_per_part": 1000, "detector": {"card": "d.yaml"}}
        sample = {"card": "z.cmnd", "events": events, **changes}
        return {"name": name, "seed": 1, "produce": {**produce, "samples": {"z": sample}}}

    small, large = study("small", 1500), study("large", 10_000)
    assert [production_parts(one, "z") for one in (small, large)] == [2, 10]
    assert productions([small, large])["z"] == productions([large])["z"]
    with pytest.raises(ConfigError, match=r"'other': 'produce.samples.z' differs"):
        productions([small, study("other", 10, filter={"invisible_pt_min": 150})])


def test_the_line_of_a_mistake_counts_comments(table):
    path = table(GOOD, SIGNAL, ("w", "w_qdc", *GOOD[2:]))
    text = path.read_text().replace("\nz\t", "\n# Z boson\n\nz\t")
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"line 6 \(sample 'w'\): unknown process"):
        load_samples(path, PROCESSES)


def test_parts_cover_all_files_once(table):
    sample = load_samples(table(GOOD, SIGNAL), PROCESSES)["z"]
    for size in (1, 2, 5):
        parts = skim_parts(sample.files, size)
        assert [file for part in parts for file in part] == list(sample.files)
        assert all(len(part) == size for part in parts[:-1])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("z", "z_qdc", *GOOD[2:])], ["sample 'z'", "unknown process 'z_qdc'", "did you mean 'z_qcd'"]),
        ([(*GOOD[:3], "-32.4", *GOOD[4:])], ["sample 'z'", "cross_section_pb", "-32.4"]),
        ([(*GOOD[:3], "many", *GOOD[4:])], ["cross_section_pb", "'many'"]),
        ([(*GOOD[:6], "1.5")], ["filter_efficiency", "1.5"]),
        ([("z", "z_qcd", "data/no.root", *GOOD[3:])], ["'data/no.root' does not exist"]),
        ([("z", "z_qcd", "data/w_*.root", *GOOD[3:])], ["'data/w_*.root' matches no file"]),
        ([("z", "z_qcd", "", *GOOD[3:])], ["'files' is empty", "'produce.samples' lacks it"]),
        ([("made", "z_qcd", "", *GOOD[3:])], ["leave 'filter_efficiency' 1"]),
        ([(*GOOD[:3], "", *GOOD[4:])], ["'cross_section_pb' is empty"]),
        ([GOOD, GOOD], ["sample 'z' stands twice"]),
        ([GOOD, ("z2", *GOOD[1:])], ["'data/z_1.root' is already in sample 'z'"]),
        ([("../z", *GOOD[1:])], ["'sample'", "'../z'"]),
        ([GOOD[:4]], ["columns", "tabs"]),
        ([GOOD], ["process 'vbf_hinv' of the study has no sample"]),
    ],
)  # fmt: skip
def test_bad_tables_name_file_row_and_remedy(table, rows, words):
    path = table(*rows)
    with pytest.raises(ConfigError) as error:
        load_samples(path, PROCESSES, produced=["made"])
    for word in [str(path), *words]:
        assert word in one_line(error)


def test_bad_header_and_missing_table(table, tmp_path):
    with pytest.raises(ConfigError, match=re.escape("they must be sample, process, files")):
        load_samples(table(GOOD, columns=["sample", "process"]), PROCESSES)
    with pytest.raises(ConfigError, match="no such sample table"):
        load_samples(tmp_path / "none.tsv", PROCESSES)


MINIMUM_BIAS = {"library": "minbias", "mean": 20}


def study_with_library(folder, *files):
    represent = {
        "pile_up_libraries": {"minbias": {"files": list(files)}},
        "images": {"pj_lr": {"pile_up": MINIMUM_BIAS}},
    }
    return load_study(write_study(folder, represent=represent))


def test_pile_up_library_of_globs_and_addresses(table, tmp_path):
    study = study_with_library(tmp_path, "data/z_*.root", "root://host//a.root")
    assert study["represent"]["images"]["pj_lr"]["pile_up"] == MINIMUM_BIAS | {"reflect": True}
    assert "pile_up" not in study["represent"]["sets"]["particles"]
    files = ("data/z_1.root", "data/z_2.root", "root://host//a.root")
    assert load_pile_up_libraries(study) == {"minbias": files}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["data/no.root"], ["'data/no.root' does not exist"]),
        (["data/w_*.root"], ["'data/w_*.root' matches no file"]),
        (["data/z_*.root", "data/z_2.root"], ["'data/z_2.root' stands twice"]),
        ([" "], ["is empty"]),
    ],
)
def test_bad_pile_up_library_names_study_key_and_remedy(table, tmp_path, files, words):
    study = study_with_library(tmp_path, *files)
    with pytest.raises(ConfigError) as error:
        load_pile_up_libraries(study)
    for word in ["'changed'", "represent.pile_up_libraries.minbias.files", *words]:
        assert word in one_line(error)


def test_the_configuration_page_is_the_one_of_the_schemas():
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == configuration_page(), "run `make docs`"


@pytest.mark.parametrize("table", ["hinv.tsv", "hinv-mini.tsv"])
def test_the_k_factors_of_the_tables_are_those_of_the_resources(table, monkeypatch):
    monkeypatch.chdir(ROOT)
    factors = read_yaml(ROOT / "resources/cross_sections.yaml")["k_factors"]
    study = load_study(ROOT / "config/studies/hinv.yaml")
    samples = load_samples(
        ROOT / "config/samples" / table, study["processes"], study["produce"]["samples"]
    )
    assert {s.process: s.k_factor for s in samples.values()} == factors


def test_plan_trains_supervised_once_and_cwola_per_luminosity():
    study = {
        "classifiers": {"ann": {}},
        "luminosities_fb": [36, 140.0],
        "supervision": {"supervised": {"seeds": [1]}, "cwola": {"seeds": [1, 2]}},
        "limits": {"shapes": {"m_jj": {}}},
    }
    assert list(trainings(study)) == [
        Training("ann", "supervised", "all", 1),
        Training("ann", "cwola", "36", 1),
        Training("ann", "cwola", "36", 2),
        Training("ann", "cwola", "140", 1),
        Training("ann", "cwola", "140", 2),
    ]
    assert [limit for limit in limits(study) if limit.luminosity == "140"] == [
        Limit("m_jj", "none", "140", None),
        Limit("ann", "supervised", "140", 1),
        Limit("ann", "cwola", "140", 1),
        Limit("ann", "cwola", "140", 2),
    ]


def test_a_study_without_limits(tmp_path):
    study = load_study(write_study(tmp_path, limits=None))
    assert "limits" not in study
    assert list(limits(study)) == []
    assert list(trainings(study))


def test_cross_sections_of_vbf_ggf_are_those_of_the_resources():
    known = read_yaml(ROOT / "resources/cross_sections.yaml")["higgs_14tev"]
    channels = {"": "gamma_gamma", "_4l": "four_leptons", "_2la": "z_gamma_two_leptons"}
    for suffix, channel in channels.items():
        table = ROOT / f"config/samples/vbf_ggf{suffix}.tsv"
        processes = ("vbf", "ggf")
        produced = [line.split("\t")[0] for line in table.read_text().splitlines()[2:]]
        for sample in load_samples(table, processes, produced).values():
            assert sample.cross_section_pb == known[f"{sample.process}_pb"]
            assert sample.branching_fraction == known["branching_fractions"][channel]
            assert (sample.k_factor, sample.filter_efficiency) == (1, 1)


def test_variants_of_cwola_stand_beside_it_with_their_own_classifiers():
    study = {
        "classifiers": {"ann": {}, "cnn": {}},
        "luminosities_fb": [36],
        "supervision": {
            "cwola": {"seeds": [1]},
            "cwola_control": {"seeds": [7], "signal_scale": 0, "classifiers": ["ann"]},
        },
        "limits": {"shapes": {}},
    }
    assert list(trainings(study)) == [
        Training("ann", "cwola", "36", 1),
        Training("cnn", "cwola", "36", 1),
        Training("ann", "cwola_control", "36", 7),
    ]
    assert [limit.supervision for limit in limits(study)] == ["cwola", "cwola", "cwola_control"]


def test_a_variant_of_cwola_has_the_defaults_of_cwola(tmp_path):
    path = write_study(tmp_path, supervision={"cwola_control": {"seeds": [1], "signal_scale": 0}})
    assert load_study(path)["supervision"]["cwola_control"] == {
        "seeds": [1],
        "signal_scale": 0,
        "numbers": "rounded",
        "shortfall": "error",
    }


def test_the_mixture_says_which_processes_are_absent():
    mixture = load_study(ROOT / "config/studies/hinv.yaml")["supervision"]["supervised"]["mixture"]
    present = {"vbf_hinv", "ggf_hinv", "z_qcd", "w_qcd"}
    (note,) = mixture_notes(mixture, present)
    assert note.startswith("background without z_ew, w_ew (3.88% of the published mixture)")
    assert mixture_notes(mixture, present | {"z_ew", "w_ew"}) == []
    assert mixture_notes(None, present) == []
    assert sum(mixture["background"].values()) == pytest.approx(1, abs=2e-5)
    assert mixture["signal"] == {"vbf_hinv": 0.448, "ggf_hinv": 0.552}
