"""The submission to HEPData: its numbers, its schema, its bytes."""

import json
import math
import socket
import tarfile

import pytest
import yaml
from hepdata_validator.full_submission_validator import FullSubmissionValidator

from cwolaflow.errors import InputError
from cwolaflow.hepdata import check_submission, write_submission
from cwolaflow.tables import Published, limits_table

SETTINGS = {
    "title": "A study",
    "parameter": "br_hinv",
    "sqrt_s_tev": 13,
    "confidence_level": 0.95,
}


def limit(analysis, luminosity, seed, median, met_cut=200.0):
    names = ("minus_2sigma", "minus_1sigma", "median", "plus_1sigma", "plus_2sigma")
    factors = (0.5, 0.7, 1, 1.4, 2)
    return {
        "analysis": analysis,
        "supervision": "none" if seed is None else "cwola",
        "met_cut_gev": met_cut,
        "luminosity_fb": luminosity,
        "seed": seed,
        **{name: median * factor for name, factor in zip(names, factors, strict=True)},
    }


LIMITS = [
    limit("m_jj", 300.0, None, 0.2),
    limit("m_jj", 36.0, None, 0.4),
    limit("m_jj", 36.0, None, 0.5, met_cut=250.0),
    limit("part/α", 36.0, 1, 0.3),
    limit("part/α", 36.0, 2, 0.1),
]


@pytest.fixture
def workspaces(tmp_path):
    pairs = []
    for number, content in enumerate(LIMITS):
        path = tmp_path / f"{number}/workspace.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"number": number}))
        pairs.append((content, path))
    return pairs


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def write(path, workspaces):
    write_submission(path, limits_table(LIMITS, Published()), workspaces, **SETTINGS)
    return path


def test_hepdata_takes_the_submission_without_network(tmp_path, workspaces, offline):
    archive = write(tmp_path / "hepdata.tar.gz", workspaces)
    validator = FullSubmissionValidator()
    assert validator.validate(archive=str(archive)), validator.get_messages()
    assert list(tmp_path.glob("*.gz")) == [archive]


def test_tables_hold_the_limits_in_order_of_luminosity(tmp_path, workspaces):
    with tarfile.open(write(tmp_path / "hepdata.tar.gz", workspaces)) as archive:
        files = {name: archive.extractfile(name).read() for name in archive.getnames()}
    _, *tables = yaml.safe_load_all(files["submission.yaml"])
    assert len(tables) == 3
    for table in tables:
        assert {"name": "cmenergies", "values": [13000]} in table["keywords"]
    data = yaml.safe_load(files[tables[0]["data_file"]])
    (luminosity,), (values,) = data["independent_variables"], data["dependent_variables"]
    assert luminosity["header"] == {"name": "Integrated luminosity", "units": "fb$^{-1}$"}
    assert [entry["value"] for entry in luminosity["values"]] == [36, 300]
    assert values["header"]["name"] == "95% CL expected upper limit on br_hinv"
    assert values["qualifiers"] == [{"name": "SQRT(S)", "units": "GeV", "value": 13000}]
    for entry, median in zip(values["values"], (0.4, 0.2), strict=True):
        assert entry["value"] == pytest.approx(median)
        one, two = entry["errors"]
        assert (one["label"], two["label"]) == ("1 sigma", "2 sigma")
        expected = {"minus": -0.3 * median, "plus": 0.4 * median}
        assert one["asymerror"] == pytest.approx(expected)
        assert two["asymerror"] == pytest.approx({"minus": -0.5 * median, "plus": median})


def test_seeds_are_averaged_and_all_workspaces_attached(tmp_path, workspaces):
    with tarfile.open(write(tmp_path / "hepdata.tar.gz", workspaces)) as archive:
        _, *tables = yaml.safe_load_all(archive.extractfile("submission.yaml"))
        table = tables[2]
        assert "part/α, cwola training" in table["description"]
        data = yaml.safe_load(archive.extractfile(table["data_file"]))
        (entry,) = data["dependent_variables"][0]["values"]
        assert math.isclose(entry["value"], 0.2)
        resources = table["additional_resources"]
        assert {resource["type"] for resource in resources} == {"HistFactory"}
        attached = [json.load(archive.extractfile(item["location"])) for item in resources]
    assert attached == [{"number": 3}, {"number": 4}]


def test_the_same_limits_give_the_same_bytes(tmp_path, workspaces):
    one = write(tmp_path / "one.tar.gz", workspaces).read_bytes()
    assert write(tmp_path / "two.tar.gz", workspaces).read_bytes() == one


def test_a_missing_workspace_is_named(tmp_path, workspaces):
    with pytest.raises(InputError, match=r"m_jj.*250.*workspace is missing"):
        write(tmp_path / "hepdata.tar.gz", workspaces[:2] + workspaces[3:])
    assert not (tmp_path / "hepdata.tar.gz").exists()


def test_long_names_are_cut_and_stay_apart(tmp_path, workspaces):
    long = {content["analysis"]: content["analysis"] * 30 for content, _ in workspaces}
    limits = limits_table(LIMITS, Published()).replace({"analysis": long})
    pairs = [
        (content | {"analysis": long[content["analysis"]]}, path) for content, path in workspaces
    ]
    write_submission(tmp_path / "hepdata.tar.gz", limits, pairs, **SETTINGS)
    with tarfile.open(tmp_path / "hepdata.tar.gz") as archive:
        _, *tables = yaml.safe_load_all(archive.extractfile("submission.yaml"))
    assert len({table["data_file"] for table in tables}) == 3


def test_what_hepdata_would_refuse_is_named(tmp_path, workspaces):
    folder = tmp_path / "files"
    folder.mkdir()
    with tarfile.open(write(tmp_path / "hepdata.tar.gz", workspaces)) as archive:
        for name in archive.getnames():
            (folder / name).write_bytes(archive.extractfile(name).read())
    check_submission(folder, "whole")
    (folder / "limits_1_m_jj_met_200.yaml").unlink()
    with pytest.raises(InputError, match=r"broken: HEPData .*limits_1_m_jj_met_200\.yaml"):
        check_submission(folder, "broken")
