"""What reruns after an edit: nothing more and nothing less."""

import copy
from contextlib import contextmanager

import pytest

from conftest import TINY
from cwolaflow.config.study import merge

FIGURES_OF_SCORES = {"plot_roc": 1, "plot_scores": 6}
LIMIT_SUMMARY = {"tabulate_limits": 1, "plot_limits": 1}
AFTER_EVENTS = {
    "count_yields": 1,
    "train_classifier": 6,
    "evaluate_classifier": 6,
    "set_shape_limit": 4,
    "set_score_limit": 6,
    "plot_feature": 2,
    "plot_average_images": 1,
    "tabulate_metrics": 1,
    **LIMIT_SUMMARY,
    **FIGURES_OF_SCORES,
}
AFTER_SKIM = {
    "merge_skim": 4,
    "select_events": 4,
    "build_images": 4,
    "build_sets": 4,
    "tabulate_cutflow": 1,
    "plot_cutflow": 1,
    **AFTER_EVENTS,
}
AFTER_ONE_CLASSIFIER = {
    "train_classifier": 2,
    "evaluate_classifier": 2,
    "set_score_limit": 2,
    "plot_roc": 1,
    "plot_scores": 2,
    "tabulate_metrics": 1,
    **LIMIT_SUMMARY,
}

STUDY_EDITS = {
    "nothing": ({}, {}),
    "a luminosity": (
        {"luminosities_fb": [36, 140]},
        {
            "train_classifier": 3,
            "evaluate_classifier": 3,
            "set_shape_limit": 4,
            "set_score_limit": 6,
            "tabulate_metrics": 1,
            "plot_roc": 1,
            **LIMIT_SUMMARY,
        },
    ),
    "a seed": (
        {"supervision": {"cwola": {"seeds": [123, 223]}}},
        {
            "train_classifier": 3,
            "evaluate_classifier": 3,
            "set_score_limit": 3,
            "tabulate_metrics": 1,
            "plot_roc": 1,
            **LIMIT_SUMMARY,
        },
    ),
    "the resolution of the figures": (
        {"plots": {"dpi": 90}},
        {"plot_limits": 1, "plot_cutflow": 1, "plot_feature": 2, "plot_average_images": 1}
        | FIGURES_OF_SCORES,
    ),
    "the colour of a process": (
        {"processes": {"z_qcd": {"colour": "#000000"}}},
        {"plot_cutflow": 1, "plot_feature": 2, "plot_average_images": 1, "plot_scores": 6},
    ),
    "a cut": (
        {"skim": {"met_isolation_jets": {"pt_min": 25}}},
        {"skim_events": 4, **AFTER_SKIM},
    ),
    "a region": (
        {"select": {"regions": {"SR": "flavour_category == '2q0g' and m_jj > 0"}}},
        {"select_events": 4, **AFTER_EVENTS},
    ),
    "the width of a network": (
        {"classifiers": {"ann_h": {"model": {"hidden": [24, 9]}}}},
        AFTER_ONE_CLASSIFIER,
    ),
    "pile-up in the images": (
        {
            "represent": {
                "pile_up_libraries": {"minbias": {"files": ["tests/data/delphes/wlnu_qcd.root"]}},
                "images": {"pj_lr": {"pile_up": {"library": "minbias", "mean": 20}}},
            }
        },
        {
            "build_pile_up_library": 1,
            "build_images": 4,
            "plot_average_images": 1,
            **AFTER_ONE_CLASSIFIER,
        },
    ),
    "the size of the images": (
        {"represent": {"images": {"pj_lr": {"phi_padding": 3}}}},
        {"build_images": 4, "plot_average_images": 1, **AFTER_ONE_CLASSIFIER},
    ),
    "the binning of one shape": (
        {"limits": {"shapes": {"m_jj": {"bins": 10}}}},
        {"set_shape_limit": 1, **LIMIT_SUMMARY},
    ),
    "the luminosity uncertainty": (
        {"limits": {"luminosity_uncertainty": 0.05}},
        {"set_shape_limit": 4, "set_score_limit": 6, **LIMIT_SUMMARY},
    ),
}


@contextmanager
def edited(path, change):
    """Change a file for the length of a block."""
    text = path.read_text()
    try:
        path.write_text(change(text))
        assert path.read_text() != text
        yield
    finally:
        path.write_text(text)


@pytest.mark.parametrize(("change", "expected"), STUDY_EDITS.values(), ids=STUDY_EDITS)
def test_an_edit_of_the_study_reruns(finished, change, expected):
    try:
        finished.write_study(merge(copy.deepcopy(TINY), change))
        # The provenance holds the whole study.
        provenance = {"write_provenance": 1} if expected else {}
        assert finished.planned() == expected | provenance
    finally:
        finished.write_study(TINY)


def test_a_comment_in_yaml_reruns_nothing(finished):
    for name in ("config/studies/hinv.yaml", "config/config.yaml"):
        with edited(finished.folder / name, lambda text: "# touched\n" + text):
            assert finished.planned() == {}


def test_a_cross_section_reruns_its_sample_from_the_event_table_down(finished):
    table = finished.folder / "config/samples/hinv-mini.tsv"
    with edited(table, lambda text: text.replace("\t32.4\t", "\t32.5\t")):
        assert finished.planned() == {
            "normalise_sample": 1, "select_events": 1, "tabulate_cutflow": 1, "plot_cutflow": 1, "write_provenance": 1, **AFTER_EVENTS
        }  # fmt: skip


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("plotting/roc.py", {"plot_roc": 1}),
        (
            "inference/limits.py",
            {"set_shape_limit": 4, "set_score_limit": 6, **LIMIT_SUMMARY},
        ),
        (
            "representation/sets.py",
            {"build_sets": 4, "train_classifier": 6, "evaluate_classifier": 6},
        ),
        ("kinematics.py", {"skim_events": 4, **AFTER_SKIM}),
    ],
)
def test_an_edit_of_a_library_module_reruns_its_users(finished, module, expected):
    path = finished.folder / "workflow/cwolaflow" / module
    with edited(path, lambda text: text + "\nEXTRA = 1\n"):
        planned = finished.planned()
    assert {rule: planned.get(rule) for rule in expected} == expected
    if module.startswith("plotting"):
        assert planned == expected


def test_a_comment_in_a_library_module_reruns_nothing(finished):
    path = finished.folder / "workflow/cwolaflow/kinematics.py"
    with edited(path, lambda text: text + "\n# why\n"):
        assert finished.planned() == {}


def test_a_new_sample_leaves_the_others_alone(finished):
    data = finished.folder / "extra.root"
    data.write_bytes((finished.folder / "tests/data/delphes/vbf_hinv.root").read_bytes())
    table = finished.folder / "config/samples/hinv-mini.tsv"
    row = "vbf_hinv_more\tvbf_hinv\textra.root\t0.1\t1\t1\t1\n"
    with edited(table, lambda text: text + row):
        planned = finished.planned()
    per_sample = ("skim_events", "merge_skim", "select_events", "build_images", "build_sets")
    assert {rule: planned[rule] for rule in per_sample} == dict.fromkeys(per_sample, 1)
    data.unlink()


def test_a_changed_input_file_reruns_its_sample_only(finished):
    table = finished.folder / "config/samples/hinv-mini.tsv"
    data = finished.folder / "other.root"
    data.write_bytes((finished.folder / "tests/data/delphes/wlnu_qcd.root").read_bytes())
    with edited(table, lambda text: text.replace("tests/data/delphes/wlnu_qcd.root", "other.root")):
        planned = finished.planned()
    data.unlink()
    assert planned["skim_events"] == planned["select_events"] == planned["build_sets"] == 1
