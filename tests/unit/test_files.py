"""Files that are whole or not there, and logs that keep the traceback."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cwolaflow.errors import InputError
from cwolaflow.files import (
    atomic_folder,
    atomic_path,
    check_writable,
    open_parquet,
    read_json,
    read_table,
    write_csv,
    write_json,
    write_table,
)
from cwolaflow.logs import progress


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_write_replaces_the_old_file(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".csv"
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_of_a_file_is_left_alone(tmp_path):
    path = tmp_path / "table.csv"
    path.mkdir()
    (path / "precious").write_text("kept")
    with pytest.raises(IsADirectoryError), atomic_path(path) as temporary:
        temporary.write_text("whole")
    assert (path / "precious").read_text() == "kept"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new" / "workspaces"
    left = path.parent / ".workspaces-abcdefgh"
    left.mkdir(parents=True)
    (left / "half").write_text("of a killed job")
    for names in (["lumi36", "lumi140"], ["lumi300"]):
        with atomic_folder(path) as temporary:
            for name in names:
                (temporary / name).write_text(name)
        assert sorted(file.name for file in path.iterdir()) == sorted(names)
        assert list(path.parent.iterdir()) == [path]
    with pytest.raises(RuntimeError), atomic_folder(path) as temporary:
        (temporary / "half").write_text("half")
        raise RuntimeError
    assert [file.name for file in path.iterdir()] == ["lumi300"]
    assert list(path.parent.iterdir()) == [path]


def test_tables_and_json_survive_the_round_trip(tmp_path):
    table = pd.DataFrame({"m_jj": [200.5, 4000.0], "region": ["SR", ""]})
    write_table(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), table, check_dtype=False)
    write_json(tmp_path / "j.json", {"median": 0.2})
    assert read_json(tmp_path / "j.json") == {"median": 0.2}
    write_csv(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text() == "m_jj,region\n200.5,SR\n4000,\n"


def test_nan_is_not_written_as_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "j.json", {"median": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "read"), [("a.parquet", read_table), ("a.json", read_json)])
def test_damaged_files_are_named(tmp_path, name, read):
    path = tmp_path / name
    path.write_bytes(b"PAR1 is not enough")
    with pytest.raises(InputError) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "delete it and run again" in str(error.value)


def test_a_truncated_table_is_named(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, pd.DataFrame({"score": range(1000)}))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not readable as Parquet"):
        read_table(path)


@pytest.mark.parametrize("error", ["InputError", "ZeroDivisionError"])
def test_a_failing_script_logs_its_traceback(tmp_path, error):
    code = (
        "import sys\nfrom cwolaflow.errors import InputError\nfrom cwolaflow.logs import start_log\n"
        f"start_log(sys.argv[1])\nraise {error}('a.root: cut short; copy it again')\n"
    )
    log = tmp_path / "logs" / "skim.log"
    run = subprocess.run([sys.executable, "-c", code, str(log)], capture_output=True, text=True)
    assert run.returncode != 0
    assert "Traceback" in log.read_text()
    assert "a.root: cut short" in log.read_text()
    assert ("Traceback" in run.stderr) == (error == "ZeroDivisionError")
    if error == "InputError":
        assert run.stderr == "cwolaflow: a.root: cut short; copy it again\n"


def test_progress_passes_everything_on(caplog):
    assert list(progress(range(3), "chunks")) == [0, 1, 2]
    assert list(progress(iter("ab"), "chunks", total=2)) == ["a", "b"]
    assert json.dumps(caplog.text) == '""'


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named(tmp_path, code):
    path = tmp_path / "table.csv"
    with pytest.raises(InputError, match="run again") as error, atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))
    assert str(path) in str(error.value)
    assert os.strerror(code) in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_by_the_folder(tmp_path):
    path = tmp_path / "workspaces"
    with pytest.raises(InputError, match="workspaces: cannot be written"), atomic_folder(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_reading_inside_the_block_keeps_its_kind(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "a.csv"):
        raise PermissionError(errno.EACCES, "input.root")


@pytest.fixture
def mortal():
    """A folder of somebody, and no rights of root, for whom no folder is closed."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    finally:
        os.seteuid(user)


def test_a_folder_that_cannot_be_written_is_named(mortal):
    folder = mortal / "results"
    folder.mkdir()
    check_writable(folder)
    check_writable(folder / "not" / "yet")
    folder.chmod(0o555)
    for act in (check_writable, lambda path: write_json(path / "a.json", {})):
        with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)") as error:
            act(folder)
        assert str(folder) in str(error.value)
        assert "make the folder writable" in str(error.value)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "results").write_text("")
    for act in (check_writable, lambda path: write_json(path / "a.json", {})):
        with pytest.raises(InputError, match="move the file"):
            act(tmp_path / "results")


def test_what_a_killed_job_left_is_removed_when_the_file_is_written(tmp_path):
    for name in (".a-abcdefgh.csv", ".a-b-abcdefgh.csv", ".a-abcdefgh.json", ".ab-abcdefgh.csv"):
        (tmp_path / name).write_text("half")
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [1]}))
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.csv",
        ".a-b-abcdefgh.csv",
        ".a-abcdefgh.json",
        ".ab-abcdefgh.csv",
    }


def test_no_flipped_bit_of_a_table_goes_unseen(tmp_path):
    """Every one of 200 flips is refused, or leaves the numbers as they are."""
    path = tmp_path / "t.parquet"
    table = pd.DataFrame({"score": [0.001 * i * i for i in range(500)]})
    write_table(path, table)
    whole = path.read_bytes()
    refused = 0
    for place in range(4, len(whole) - 8, max(1, len(whole) // 200)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            again = read_table(path)
        except InputError:
            refused += 1
        else:
            assert again.columns[0] != "score" or again["score"].equals(table["score"])
    assert refused > 150


def test_reals_are_stored_bytewise_and_all_values_come_back(tmp_path):
    rng = np.random.default_rng(4)
    table = pa.table(
        {
            "event_id": pa.array(np.arange(200)),
            "process": pa.array(["vbf", "ggf"] * 100),
            "score": pa.array(rng.random(200, np.float32)),
            "tower_et": pa.array([rng.random(n % 5) for n in range(200)]),
            "jet_flavour": pa.array([[21] * (n % 3) for n in range(200)]),
        }
    )
    write_table(tmp_path / "table.parquet", table)
    with open_parquet(tmp_path / "table.parquet") as file:
        assert file.read().equals(table)
        group = file.metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    bytewise = {c.path_in_schema for c in columns if "BYTE_STREAM_SPLIT" in c.encodings}
    assert bytewise == {"score", "tower_et.list.element"}
    assert {c.compression for c in columns} == {"ZSTD"}
