"""What a user sees when the input is wrong, and what is left behind: nothing."""

import os
import resource
from contextlib import contextmanager

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


def fail(project, *targets, **options):
    run = project.snakemake("--cores", "2", *targets, **options)
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


def small_files_only():
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def test_a_disk_that_takes_no_more_is_named_and_nothing_half_is_left(fresh):
    """The limit on the size of files stands for the full disk: the same kind of error."""
    part = "results/tiny/skim/parts/vbf_hinv/0.parquet"
    (line,) = set(error_lines(fail(fresh, part, preexec_fn=small_files_only)))
    assert line.startswith(f"cwolaflow: {part}: cannot be written")
    assert "run again" in line
    no_output(fresh, "*.parquet", "*.json", ".*-*")
    fresh.run(part)


def test_a_results_folder_that_cannot_be_written_stops_before_any_job(fresh):
    (fresh.folder / "results").write_text("in the way")
    text = fail(fresh)
    assert "results: cannot be written" in text
    assert "move the file" in text
    assert "Traceback" not in text
    assert (fresh.folder / "results").read_text() == "in the way"


def flip_a_bit(content):
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def cut_short(content):
    return content[: len(content) // 2]


@contextmanager
def damaged(path, damage):
    """Damage a file behind the back of Snakemake: its date stays."""
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(damage(content))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


TRAINING = "train/{}/cwola/lumi36/seed123"
CNN, PART = TRAINING.format("cnn_pj_lr"), TRAINING.format("part")
LIMIT = "limits/part/cwola/lumi36/seed123/limits.json"
DAMAGES = [
    ("skim/parts/vbf_hinv/0.parquet", flip_a_bit, "skim/vbf_hinv.parquet"),
    ("skim/vbf_hinv.parquet", flip_a_bit, "events/vbf_hinv.parquet"),
    ("skim/vbf_hinv.parquet", cut_short, "images/pj_lr/vbf_hinv.parquet"),
    ("skim/vbf_hinv.cutflow.json", cut_short, "events/vbf_hinv.parquet"),
    ("events/vbf_hinv.parquet", flip_a_bit, "events/yields.csv"),
    ("images/pj_lr/vbf_hinv.parquet", flip_a_bit, f"{CNN}/scores.parquet"),
    ("sets/particles/vbf_hinv.parquet", flip_a_bit, f"{PART}/scores.parquet"),
    (f"{PART}/model.pt", cut_short, f"{PART}/scores.parquet"),
    (f"{PART}/model.pt", flip_a_bit, f"{PART}/scores.parquet"),
    (f"{PART}/scores.parquet", flip_a_bit, LIMIT),
    (f"{PART}/metrics.json", cut_short, "summary/metrics.csv"),
    (LIMIT, cut_short, "summary/limits.csv"),
]


@pytest.fixture(scope="module")
def repaired(finished):
    """The finished project; what the tests made again is taken to the end of the workflow."""
    yield finished
    finished.run()


@pytest.mark.parametrize(
    ("file", "damage", "target"),
    DAMAGES,
    ids=[f"{file} {damage.__name__}" for file, damage, _ in DAMAGES],
)
def test_a_damaged_file_is_named_by_the_job_that_reads_it(repaired, file, damage, target):
    results = repaired.folder / "results/tiny"
    before = (results / target).read_bytes()
    with damaged(results / file, damage):
        (results / target).unlink()
        (line,) = set(error_lines(fail(repaired, f"results/tiny/{target}")))
        assert line.startswith(f"cwolaflow: results/tiny/{file}: not ")
        assert "delete it and run again" in line
        assert not (results / target).exists()
    repaired.run(f"results/tiny/{target}")
    assert (results / target).read_bytes() == before
