"""The study of docs/studies.md, run as it stands there, and where its numbers come from."""

import hashlib
import json
import re
import tarfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from conftest import ROOT, Project
from cwolaflow.tables import LIMIT_KEYS, LIMIT_NUMBERS

STUDY = "config/studies/bump.yaml"
TABLE = "config/samples/bump.tsv"
ONLY = ("--config", f"studies=[{STUDY}]")


def documented_files() -> dict[str, str]:
    """Code blocks of the page whose first line is the path of a file."""
    text = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:yaml|tsv)\n(.*?)^```", text, re.S | re.M)
    found = (re.match(r"# (config/\S+\.(?:yaml|tsv))\n", block) for block in blocks)
    return {match[1]: block for match, block in zip(found, blocks, strict=True) if match}


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("documented"))
    for path in (STUDY, TABLE):
        (project.folder / path).write_text(documented_files()[path], encoding="utf-8")
    project.run(*ONLY, "--", "all", "hepdata")
    return project


@pytest.fixture(scope="module")
def summary(documented) -> Path:
    return documented.folder / "results/bump/summary"


@pytest.fixture(scope="module")
def provenance(summary):
    return json.loads((summary / "provenance.json").read_text())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_page_gives_limits_metrics_and_figures(summary):
    limits = pd.read_csv(summary / "limits.csv")
    assert list(zip(limits.analysis, limits.supervision, strict=True)) == [
        ("m_jj", "none"), ("ann_r", "supervised"), ("ann_r", "cwola")
    ]  # fmt: skip
    assert (limits["met_cut_gev"] == 0).all()
    assert limits["median"].between(0.01, 10).all()
    metrics = pd.read_csv(summary / "metrics.csv").set_index("supervision")
    assert metrics["auc"]["supervised"] > 0.6
    figures = {path.stem for path in (summary / "figures").glob("*.png")}
    assert figures >= {"limits", "roc_supervised", "roc_cwola"}


def test_regions_are_the_window_and_its_sides(documented):
    folder = documented.folder / "results/bump/events"
    events = pd.concat(map(pd.read_parquet, folder.glob("*.parquet")))
    inside = (events["m_jj"] > 1000) & (events["m_jj"] < 2000)
    assert inside.sum() > 100
    assert (events["region"] == inside.map({True: "SR", False: "SB"})).all()


def test_score_fits_take_the_window_only(documented, provenance):
    for entry in provenance["limits"]:
        if entry["supervision"] == "none":
            continue
        scores = pd.read_parquet(documented.folder / entry["scores"]["file"])
        window = scores[(scores["region"] == "SR") & (scores["label"] == 0)]
        workspace = json.loads((documented.folder / entry["workspace"]["file"]).read_text())
        expected = window["weight_fb"].sum() * entry["luminosity_fb"]
        assert sum(workspace["observations"][0]["data"]) == pytest.approx(expected)


def test_every_row_of_limits_leads_to_its_job(documented, summary, provenance):
    table = pd.read_csv(summary / "limits.csv")
    keys = [*LIMIT_KEYS, "seed"]
    assert len(table) == len(provenance["limits"])
    for row in table.to_dict("records"):
        seed = None if pd.isna(row["seed"]) else int(row["seed"])
        (entry,) = (
            entry
            for entry in provenance["limits"]
            if [entry[key] for key in keys] == [*(row[key] for key in LIMIT_KEYS), seed]
        )
        named = [
            entry[kind] for kind in ("limits", "workspace", "model", "scores") if kind in entry
        ]
        assert len(named) == (2 if row["supervision"] == "none" else 4)
        for record in named:
            path = documented.folder / record["file"]
            assert (record["bytes"], record["sha256"]) == (path.stat().st_size, sha256(path))
        (content,) = (
            limit
            for limit in json.loads((documented.folder / entry["limits"]["file"]).read_text())
            if limit["luminosity_fb"] == entry["luminosity_fb"]
        )
        for number in LIMIT_NUMBERS:
            assert row[number] == pytest.approx(content[number], rel=1e-5)
            assert entry[number] == content[number]
        if seed is not None:
            training = json.loads((documented.folder / entry["training"]).read_text())
            assert entry["training_seed"] == training["seed"]


def test_provenance_names_config_software_and_inputs(documented, summary, provenance):
    assert provenance["config"]["limits"]["poi"] == "signal_strength"
    assert re.fullmatch("[0-9a-f]{64}", provenance["config_sha256"])
    assert provenance["software"]["git"] is None
    assert provenance["software"]["pandas"] == pd.__version__
    for name, record in provenance["tables"].items():
        assert record["sha256"] == sha256(summary / name)
    files = [record for sample in provenance["samples"].values() for record in sample["files"]]
    assert {record["file"] for record in files} == {
        f"tests/data/delphes/{name}.root" for name in ("znunu_qcd", "wlnu_qcd", "vbf_hinv")
    }
    for record in files:
        assert record["sha256"] == sha256(documented.folder / record["file"])
    assert str(documented.folder) not in (summary / "provenance.json").read_text()


def test_a_finished_study_has_nothing_left_to_do(documented):
    assert documented.planned(*ONLY, "--", "all", "hepdata") == {}


def test_hepdata_holds_the_limits_and_their_workspaces(documented, summary, provenance):
    limits = pd.read_csv(summary / "limits.csv")
    known = {entry["workspace"]["sha256"] for entry in provenance["limits"]}
    with tarfile.open(summary / "hepdata.tar.gz") as archive:
        _, *tables = yaml.safe_load_all(archive.extractfile("submission.yaml"))
        for table, median in zip(tables, limits["median"], strict=True):
            data = yaml.safe_load(archive.extractfile(table["data_file"]))
            (entry,) = data["dependent_variables"][0]["values"]
            assert entry["value"] == pytest.approx(median, rel=1e-5)
        attached = {
            hashlib.sha256(archive.extractfile(name).read()).hexdigest()
            for name in archive.getnames()
            if name.startswith("workspace")
        }
    assert attached == known


def test_one_byte_of_an_input_changes_its_checksum_alone(documented, provenance):
    data = documented.folder / "changed.root"
    original = (documented.folder / "tests/data/delphes/vbf_hinv.root").read_bytes()
    data.write_bytes(original + b"\0")
    table = documented.folder / TABLE
    text = table.read_text()
    table.write_text(text.replace("tests/data/delphes/vbf_hinv.root", str(data)))
    record = documented.folder / "results/bump/skim/parts/resonance/0.files.json"
    documented.run(*ONLY, "--", str(record.relative_to(documented.folder)))
    table.write_text(text)
    (before,) = provenance["samples"]["resonance"]["files"]
    (after,) = json.loads(record.read_text())
    assert after["file"] == "changed.root"
    assert after["bytes"] == before["bytes"] + 1
    assert after["sha256"] == sha256(data) != before["sha256"]
