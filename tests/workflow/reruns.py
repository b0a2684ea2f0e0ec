"""What reruns after which edit of the tiny study: held by test_reruns.py, printed in docs/reruns.md.

``python tests/workflow/reruns.py`` writes the table of the page anew.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from conftest import ROOT, TINY, Project
from cwolaflow.config.study import merge

PAGE = ROOT / "docs/reruns.md"
BEGIN, END = "<!-- table: python tests/workflow/reruns.py -->\n", "<!-- end of table -->\n"

Jobs = dict[str, int]

# All jobs of the tiny study, by column of the table.
STAGES: dict[str, Jobs] = {
    "skim": {"skim_events": 4, "merge_skim": 4},
    "events": {"normalise_sample": 4, "select_events": 4, "count_yields": 1},
    "images, sets": {"build_images": 4, "build_sets": 4},
    "train": {"train_classifier": 6, "evaluate_classifier": 6},
    "limit": {"set_shape_limits": 4, "set_score_limits": 6},
    "tables": {
        "tabulate_cutflow": 1,
        "tabulate_metrics": 1,
        "tabulate_limits": 1,
        "write_provenance": 1,
    },
    "figures": {
        "plot_limits": 1,
        "plot_cutflow": 1,
        "plot_roc": 2,
        "plot_controls": 1,
        "plot_flavours": 1,
        "plot_scores": 2,
        "plot_feature": 2,
        "plot_average_images": 1,
        "plot_reweighting": 1,
    },
}
ALL = {rule: count for jobs in STAGES.values() for rule, count in jobs.items()}

# The provenance holds the whole study and the checksums of all limits.
PROVENANCE = {"write_provenance": 1}
LIMIT_SUMMARY = {"tabulate_limits": 1, "plot_limits": 1, **PROVENANCE}
CUTFLOW = {"tabulate_cutflow": 1, "plot_cutflow": 1}
METRICS = {"tabulate_metrics": 1, "plot_controls": 1}
AFTER_TRAINING = {"set_score_limits": 6, "plot_roc": 2, "plot_scores": 2, **METRICS}
ALL_TRAININGS = STAGES["train"] | AFTER_TRAINING | LIMIT_SUMMARY
AFTER_EVENTS = {
    **ALL_TRAININGS,
    "count_yields": 1,
    "plot_flavours": 1,
    "set_shape_limits": 4,
    "plot_feature": 2,
    "plot_average_images": 1,
}
REWEIGHTING = {"plot_reweighting": 1}
AFTER_SKIM = {
    "select_events": 4,
    **STAGES["images, sets"],
    **CUTFLOW,
    **REWEIGHTING,
    **AFTER_EVENTS,
}
ONE_CLASSIFIER = {
    "train_classifier": 2,
    "evaluate_classifier": 2,
    "set_score_limits": 2,
    "plot_roc": 2,
    "plot_scores": 2,
    **METRICS,
    **LIMIT_SUMMARY,
}
IMAGES = {"build_images": 4, "plot_average_images": 1, **ONE_CLASSIFIER}
ONE_SKIM = {"skim_events": 1, "merge_skim": 1}
ONE_REPRESENTATION = {"build_images": 1, "build_sets": 1}

NEW_SAMPLE = ONE_SKIM | ONE_REPRESENTATION | {"normalise_sample": 1, "select_events": 1}
NEW_LUMINOSITY = {
    "train_classifier": 3,
    "evaluate_classifier": 3,
    "set_score_limits": 3,
    "plot_areas": 1,
}
# One job for all luminosities.
OTHER_LIMITS = {"set_shape_limits": 4, "set_score_limits": 6}
NEW_SEED = {"train_classifier": 3, "evaluate_classifier": 3, "set_score_limits": 3}
LONGER_TABLES = {"plot_roc": 1, **METRICS, **LIMIT_SUMMARY}


@contextmanager
def changed(path: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """Change a file for the length of a block, and put it back with its old date."""
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(change(content))
    assert path.read_bytes() != content, f"nothing changed in {path}"
    try:
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def study(change: dict) -> Callable[[Project], AbstractContextManager]:
    """Merge a change into the study."""

    @contextmanager
    def apply(project: Project) -> Iterator[None]:
        project.write_study(merge(TINY, change))
        try:
            yield
        finally:
            project.write_study(TINY)

    return apply


def file(
    path: str, change: Callable[[bytes], bytes]
) -> Callable[[Project], AbstractContextManager]:
    """Change a file of the project."""
    return lambda project: changed(project.folder / path, change)


def module(path: str, text: bytes = b"\nEXTRA = 1\n"):
    """Append a line of code to a module of the library."""
    return file(f"workflow/cwolaflow/{path}", lambda content: content + text)


@contextmanager
def new_sample(project: Project) -> Iterator[None]:
    """Add a row to the sample table, with a file of its own."""
    data = project.folder / "extra.root"
    data.write_bytes((project.folder / "tests/data/delphes/vbf_hinv.root").read_bytes())
    row = b"vbf_hinv_more\tvbf_hinv\textra.root\t0.1\t1\t1\t1\n"
    try:
        with changed(project.folder / "config/samples/hinv-mini.tsv", lambda table: table + row):
            yield
    finally:
        data.unlink()


@dataclass(frozen=True)
class Edit:
    """An edit, how it is made, exactly the jobs that a run then does, and which of them are new."""

    name: str
    apply: Callable[[Project], AbstractContextManager]
    jobs: Jobs
    new: Jobs = field(default_factory=dict)


PILE_UP = {
    "pile_up_libraries": {"minbias": {"files": ["tests/data/delphes/wlnu_qcd.root"]}},
    "images": {"pj_lr": {"pile_up": {"library": "minbias", "mean": 20}}},
}
REGION = "flavour_category == '2q0g' and m_jj > 0"

EDITS = [
    Edit("a comment in a study", file("config/studies/hinv.yaml", lambda text: b"# why\n" + text), {}),
    Edit("a comment in the config", file("config/config.yaml", lambda text: b"# why\n" + text), {}),
    Edit("a comment in a rule", file("workflow/rules/train.smk", lambda text: b"# why\n" + text), {}),
    Edit("a comment in a library module", module("kinematics.py", b"\n# why\n"), {}),
    Edit(
        "threads of a training (`training_threads`)",
        file(
            "config/config.yaml",
            lambda text: text.replace(b"training_threads: 1", b"training_threads: 2"),
        ),
        {},
    ),
    Edit(
        "a sample added",
        new_sample,
        NEW_SAMPLE | CUTFLOW | AFTER_EVENTS,
        new=NEW_SAMPLE,
    ),
    Edit(
        "a Delphes file changed, same name",
        file("tests/data/delphes/wlnu_qcd.root", lambda content: content + b"more"),
        ONE_SKIM | CUTFLOW | ONE_REPRESENTATION | AFTER_EVENTS | {"select_events": 1},
    ),
    Edit(
        "a cross section, k-factor, branching fraction or filter efficiency",
        file(
            "config/samples/hinv-mini.tsv",
            lambda table: table.replace(b"\t32.4\t", b"\t32.5\t"),
        ),
        {"normalise_sample": 1, "select_events": 1} | CUTFLOW | AFTER_EVENTS,
    ),
    Edit(
        "an object of the skim (`skim.objects`, `skim.met_isolation_jets`)",
        study({"skim": {"met_isolation_jets": {"pt_min": 25}}}),
        STAGES["skim"] | AFTER_SKIM,
    ),
    Edit(
        "a cut (`skim.cuts`)",
        file(
            "config/studies/hinv.yaml",
            lambda text: text.replace(b"require: m_jj > 200", b"require: m_jj > 210"),
        ),
        STAGES["skim"] | AFTER_SKIM,
    ),
    Edit(
        "a region",
        study({"select": {"regions": {"SR": REGION}}}),
        {"select_events": 4} | REWEIGHTING | AFTER_EVENTS,
    ),
    Edit(
        "a weight of a process (`select.reweight`)",
        file("resources/top_mass/ggf_hinv.yaml", lambda text: text.replace(b"0.8788", b"0.8789")),
        {"select_events": 1} | REWEIGHTING | AFTER_EVENTS,
    ),
    Edit(
        "the features of a classifier",
        study({"classifiers": {"ann_h": {"input": {"features": ["kinematic"]}}}}),
        ONE_CLASSIFIER,
    ),
    Edit(
        "size of the images",
        study({"represent": {"images": {"pj_lr": {"phi_padding": 3}}}}),
        IMAGES,
    ),
    Edit(
        "pile-up in the images, from a new library",
        study({"represent": PILE_UP}),
        {"build_pile_up_library": 1} | IMAGES,
        new={"build_pile_up_library": 1},
    ),
    Edit(
        "width of a network",
        study({"classifiers": {"ann_h": {"model": {"hidden": [24, 9]}}}}),
        ONE_CLASSIFIER,
    ),
    Edit(
        "augmentation of a training (`training.augmentation`)",
        study({"classifiers": {"part": {"training": {"augmentation": {"phi_shift": {"copies": 2}}}}}}),
        ONE_CLASSIFIER,
    ),
    Edit(
        "a luminosity added",
        study({"luminosities_fb": [36, 140]}),
        NEW_LUMINOSITY | OTHER_LIMITS | LONGER_TABLES,
        new=NEW_LUMINOSITY,
    ),
    Edit(
        "a seed added",
        study({"supervision": {"cwola": {"seeds": [123, 223]}}}),
        NEW_SEED | LONGER_TABLES,
        new=NEW_SEED,
    ),
    Edit(
        "luminosity or cross-section uncertainty",
        study({"limits": {"luminosity_uncertainty": 0.05}}),
        STAGES["limit"] | LIMIT_SUMMARY,
    ),
    Edit(
        "binning of one shape",
        study({"limits": {"shapes": {"m_jj": {"bins": 10}}}}),
        {"set_shape_limits": 1} | LIMIT_SUMMARY,
    ),
    Edit(
        "a published number",
        file("resources/published/hinv.yaml", lambda text: text.replace(b"0.226", b"0.227")),
        METRICS | LIMIT_SUMMARY,
    ),
    Edit("resolution of the figures (`plots.dpi`)", study({"plots": {"dpi": 90}}), STAGES["figures"] | PROVENANCE),
    Edit(
        "colour or label of a process",
        study({"processes": {"z_qcd": {"colour": "#000000"}}}),
        {"plot_cutflow": 1, "plot_flavours": 1, "plot_feature": 2, "plot_average_images": 1}
        | {"plot_scores": 2}
        | PROVENANCE,
    ),
    Edit(
        "a feature to draw (`plots.features`)",
        study({"plots": {"features": ["m_jj", "delta_eta_jj", "missing_et"]}}),
        {"plot_feature": 1} | PROVENANCE,
        new={"plot_feature": 1},
    ),
    Edit("style of the figures (`plotting/style.py`)", module("plotting/style.py"), STAGES["figures"]),
    Edit("module `plotting/roc.py`", module("plotting/roc.py"), {"plot_roc": 2}),
    Edit("module `inference/limits.py`", module("inference/limits.py"), STAGES["limit"] | LIMIT_SUMMARY),
    Edit("module `learning/fit.py`", module("learning/fit.py"), ALL_TRAININGS),
    Edit(
        "module `representation/build_sets.py`",
        module("representation/build_sets.py"),
        {"build_sets": 4} | ONE_CLASSIFIER,
    ),
    Edit("module `representation/sets.py`", module("representation/sets.py"), ALL_TRAININGS),
    Edit("module `config/study.py`", module("config/study.py"), {}),
    Edit("module `kinematics.py`", module("kinematics.py"), STAGES["skim"] | AFTER_SKIM),
]  # fmt: skip


def cell(edit: Edit, stage: Jobs) -> str:
    """What an edit makes of one stage: jobs that are new, and old ones that run again."""
    new = sum(edit.new.get(rule, 0) for rule in stage)
    again = sum(edit.jobs.get(rule, 0) for rule in stage) - new
    total = sum(stage.values())
    old = "all" if again == total else f"{again} of {total}"
    return ", ".join([f"+{new}"] * bool(new) + [old] * bool(again)) or "·"


def table() -> str:
    """The table of the page."""
    stages = STAGES | {
        "images, sets": STAGES["images, sets"] | {"build_pile_up_library": 0},
        "figures": STAGES["figures"] | {"plot_areas": 0},
    }
    lines = ["| edit | " + " | ".join(stages) + " |", "|---" * (len(stages) + 1) + "|"]
    for edit in EDITS:
        assert not edit.jobs.keys() - {rule for stage in stages.values() for rule in stage}
        cells = [cell(edit, stage) for stage in stages.values()]
        lines.append(f"| {edit.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with its table written anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
