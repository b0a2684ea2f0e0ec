"""Files of fits: which limit belongs to which workspace."""

import pytest

from cwolaflow.errors import InputError
from cwolaflow.files import read_json
from cwolaflow.inference.fits import read_fits, read_limit, workspace_path, write_fits


def written(folder, name, luminosities):
    limits, workspaces = folder / name / "limits.json", folder / name / "workspaces"
    fits = [
        ({"analysis": name, "luminosity_fb": at}, {"of": name, "at": at}) for at in luminosities
    ]
    write_fits(limits, workspaces, fits)
    return limits, workspaces


def test_limits_come_by_luminosity_with_their_workspaces(tmp_path):
    files = [written(tmp_path, "m_jj", (140.0, 36.0, 0.5)), written(tmp_path, "part", (36.0,))]
    fits = read_fits(*zip(*files, strict=True))
    assert [(limit["analysis"], limit["luminosity_fb"]) for limit, _ in fits] == [
        ("m_jj", 0.5),
        ("m_jj", 36.0),
        ("part", 36.0),
        ("m_jj", 140.0),
    ]
    for limit, path in fits:
        assert read_json(path) == {"of": limit["analysis"], "at": limit["luminosity_fb"]}
    assert workspace_path("folder", 36.0).name == "lumi36.json"
    assert workspace_path("folder", 0.5).name == "lumi0.5.json"


def test_a_luminosity_taken_away_leaves_no_workspace(tmp_path):
    written(tmp_path, "m_jj", (36.0, 140.0))
    limits, workspaces = written(tmp_path, "m_jj", (140.0,))
    assert [path.name for path in workspaces.iterdir()] == ["lumi140.json"]
    assert len(read_json(limits)) == 1


def test_the_limit_of_one_luminosity(tmp_path):
    path, _ = written(tmp_path, "m_jj", (36.0, 140.0))
    assert read_limit(path, 140)["luminosity_fb"] == 140
    with pytest.raises(InputError, match=r"limits\.json: has no limit at 300/fb, only at 36, 140"):
        read_limit(path, 300)


def test_a_fit_that_fails_leaves_neither(tmp_path):
    def fits():
        yield {"luminosity_fb": 36.0}, {}
        raise InputError("too few events")

    with pytest.raises(InputError, match="too few"):
        write_fits(tmp_path / "limits.json", tmp_path / "workspaces", fits())
    assert list(tmp_path.iterdir()) == []
