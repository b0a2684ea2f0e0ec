"""What a user sees when the input is wrong, and what is left behind: nothing."""

import pytest
import uproot

from conftest import TINY
from cwolaflow.config.study import merge


def point_sample_at(project, sample, file):
    """Let a sample of the tiny study read another file."""
    table = project.folder / "config/samples/hinv-mini.tsv"
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    for row in rows:
        if row[0] == sample:
            row[2] = str(file)
    table.write_text("\n".join("\t".join(row) for row in rows) + "\n")


def fail(project, *targets):
    run = project.snakemake("--cores", "2", *targets)
    assert run.returncode != 0
    return run.stdout + run.stderr


def error_lines(text):
    return [line for line in text.splitlines() if line.startswith("cwolaflow: ")]


SKIM = "results/tiny/skim/vbf_hinv.parquet"


def no_output(project, *patterns):
    for pattern in patterns:
        assert not list((project.folder / "results").glob(f"**/{pattern}"))


@pytest.fixture
def vbf_file(fresh):
    return fresh.folder / "tests/data/delphes/vbf_hinv.root"


def test_a_truncated_file_is_named_and_its_traceback_is_in_the_log(fresh, vbf_file):
    broken = fresh.folder / "broken.root"
    broken.write_bytes(vbf_file.read_bytes()[:1_000_000])
    point_sample_at(fresh, "vbf_hinv", "broken.root")
    text = fail(fresh, SKIM)
    (line,) = set(error_lines(text))
    assert "broken.root" in line
    log = fresh.folder / "logs/tiny/skim/parts/vbf_hinv/0.log"
    assert "Traceback (most recent call last)" in log.read_text()
    assert "InputError" in log.read_text()
    no_output(fresh, "*.parquet", "*.json", ".*-*")


def test_a_file_without_delphes_tree_is_named(fresh):
    with uproot.recreate(fresh.folder / "other.root") as file:
        file["Events"] = {"x": [1.0]}
    point_sample_at(fresh, "vbf_hinv", "other.root")
    (line,) = set(error_lines(fail(fresh, SKIM)))
    assert "other.root" in line
    assert "Delphes" in line
    assert "Events" in line
    no_output(fresh, "*.parquet")


def test_a_missing_file_stops_before_any_job(fresh):
    point_sample_at(fresh, "vbf_hinv", "nowhere.root")
    text = fail(fresh)
    assert "hinv-mini.tsv" in text
    assert "'nowhere.root' does not exist" in text
    assert "Traceback" not in text
    assert not (fresh.folder / "results").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"luminosity": 36}, ["tiny.yaml", "unknown key 'luminosity'"]),
        ({"select": {"folds": "two"}}, ["tiny.yaml", "select.folds", "'two'"]),
    ],
)
def test_a_wrong_study_stops_before_any_job(fresh, change, words):
    fresh.write_study(merge(TINY, change))
    text = fail(fresh)
    for word in words:
        assert word in text
    assert "Traceback" not in text
    assert not (fresh.folder / "results").exists()


def test_an_unknown_column_in_a_cut_is_named(fresh):
    cut = [{"name": "m_jj", "require": "mjj > 200"}]
    fresh.write_study(merge(TINY, {"skim": {"cuts": cut}}))
    (line,) = set(error_lines(fail(fresh, SKIM)))
    assert "mjj" in line
    assert "m_jj" in line
    no_output(fresh, "*.parquet")


def test_a_region_that_selects_nothing_is_named(fresh):
    regions = {"SR": "m_jj > 1.0e6"}
    fresh.write_study(merge(TINY, {"select": {"regions": regions}}))
    (line,) = set(error_lines(fail(fresh, "events")))
    assert "SR" in line
    assert "m_jj > 1.0e6" in line
    no_output(fresh, "yields.csv")


def test_more_luminosity_than_simulation_names_what_is_there(fresh):
    fresh.write_study(merge(TINY, {"supervision": {"cwola": {"shortfall": "error"}}}))
    model = "results/tiny/train/ann_h/cwola/lumi36/seed123/model.pt"
    (line,) = set(error_lines(fail(fresh, model)))
    assert "36" in line
    assert any(process in line for process in ("z_qcd", "w_qcd"))
    no_output(fresh, "model.pt", "history.parquet", "training.json")
