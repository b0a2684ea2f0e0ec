"""Checksums, hashes and versions of the provenance, and the files behind a limit."""

import hashlib
import json
import subprocess

import pytest

from cwolaflow.errors import InputError
from cwolaflow.paths import checksum, file_record
from cwolaflow.provenance import config_hash, git_version, limit_entries


def test_checksum_is_sha256(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # The example of FIPS 180-2, appendix B.1.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum(path) == {"bytes": 3, "sha256": digest}


def test_one_byte_changes_the_checksum_of_a_large_file(tmp_path):
    content = bytearray(3_000_000)
    path = tmp_path / "large"
    path.write_bytes(content)
    before = checksum(path)
    content[2_345_678] = 1
    path.write_bytes(content)
    assert checksum(path) == {
        "bytes": before["bytes"],
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert checksum(path) != before


def test_a_record_holds_no_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "a.root").write_bytes(b"abc")
    absolute = file_record(tmp_path / "a.root")
    monkeypatch.chdir(tmp_path)
    assert absolute == file_record("a.root")
    remote = "root://host//data/a.root"
    assert file_record(remote) == {"file": remote, "bytes": None, "sha256": None}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.root: cannot be read"):
        checksum(tmp_path / "gone.root")


def test_config_hash_counts_values_and_not_their_order():
    study = {"name": "a", "plots": {"dpi": 150, "features": ["m_jj", "missing_et"]}}
    turned = {"plots": {"features": ["m_jj", "missing_et"], "dpi": 150}, "name": "a"}
    assert config_hash(study) == config_hash(turned)
    for other in ({"dpi": 151}, {"features": ["missing_et", "m_jj"]}):
        assert config_hash(study) != config_hash(study | {"plots": study["plots"] | other})


def git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def test_git_version_is_that_of_the_repository_itself(tmp_path, monkeypatch):
    assert git_version(tmp_path) is None
    git(tmp_path, "init")
    (tmp_path / "file").write_text("1")
    (tmp_path / "inside").mkdir()
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    clean = git_version(tmp_path)
    assert clean and not clean.endswith("-dirty")
    assert git_version(tmp_path / "inside") is None
    (tmp_path / "file").write_text("2")
    assert git_version(tmp_path) == f"{clean}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path / "inside"))
    assert git_version(tmp_path) is None


def write_limit(folder, seed, median):
    (folder / "workspaces").mkdir(parents=True)
    key = {"analysis": "part", "supervision": "cwola", "met_cut_gev": 0}
    bands = {"minus_2sigma": 0.1, "minus_1sigma": 0.2, "plus_1sigma": 0.5, "plus_2sigma": 0.7}
    limits = [
        {**key, "luminosity_fb": luminosity, "seed": seed, "median": scale * median, **bands}
        for luminosity, scale in ((140.0, 0.5), (36.0, 1.0))
    ]
    contents = {
        "limits": limits,
        "workspaces/lumi36.json": {"of": seed},
        "training": {"seed": 1000 + seed},
        "model": {},
        "scores": {},
        "metrics": {},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    names = {name.split("/")[0] for name in contents}
    return {name: f"{folder.name}/{name}" for name in names} | {"luminosity_fb": 36.0}


def test_rows_of_limits_lead_to_their_files(tmp_path, monkeypatch):
    jobs = [write_limit(tmp_path / str(seed), seed, seed / 10) for seed in (4, 3)]
    monkeypatch.chdir(tmp_path)
    first, second, mean = limit_entries(jobs)
    assert (first["seed"], first["median"], first["training_seed"]) == (4, 0.4, 1004)
    assert second["workspace"]["file"] == "3/workspaces/lumi36.json"
    assert second["limits"]["file"] == "3/limits"
    assert second["workspace"]["sha256"] == hashlib.sha256(b'{"of": 3}').hexdigest()
    assert (mean["seed"], mean["mean_of"], mean["analysis"]) == ("mean", [3, 4], "part")
    assert len(limit_entries(jobs[:1])) == 1
