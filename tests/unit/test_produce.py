"""Parts of a sample: file, provenance, and what several parts say together."""

import json
from pathlib import Path

import numpy as np
import pytest
import uproot

from cwolaflow.errors import CwolaflowError, InputError, StatisticsError
from cwolaflow.production.produce import part_settings, produce_part
from cwolaflow.production.provenance import combine_provenance

RESOURCES = Path(__file__).parents[2] / "resources"
CARD = RESOURCES / "pythia" / "vbf_hinv.cmnd"
DETECTOR_CARD = RESOURCES / "detector" / "cms.yaml"


def produce(output, events=12, seed=7, event_filter=None, settings=None):
    return produce_part(
        CARD, settings or {}, event_filter or {}, events, seed, DETECTOR_CARD, output
    )


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    output = tmp_path_factory.mktemp("part") / "part_0.root"
    return output, produce(output, events=40, event_filter={"invisible_pt_min": 150})


def read(path, branch):
    with uproot.open(path) as file:
        return file["Delphes"][branch].array()


def test_part_is_a_delphes_file(part):
    output, _ = part
    with uproot.open(output) as file:
        assert file["Delphes"].num_entries == 40
    missing = np.concatenate([list(event) for event in read(output, "MissingET.MET")])
    assert len(missing) == 40
    assert 100 < np.median(missing) < 300
    np.testing.assert_array_equal(read(output, "Event.Weight")[:, 0], 1)


def test_provenance_of_a_part(part):
    output, provenance = part
    assert json.loads(output.with_suffix(".json").read_text()) == provenance
    assert provenance["events"] == provenance["accepted"] == 40
    assert provenance["tried"] > 150
    efficiency = provenance["accepted"] / provenance["tried"]
    assert provenance["sigma_pb"] == pytest.approx(3.545 * efficiency, rel=0.15)
    assert provenance["sigma_error_pb"] < 0.3 * provenance["sigma_pb"]
    assert provenance["filter"] == {"invisible_pt_min": 150}
    assert provenance["process_card"] == "vbf_hinv.cmnd"
    assert provenance["versions"]["pythia8mc"].startswith("8.")


def test_part_is_reproducible(tmp_path):
    files = [tmp_path / f"{name}.root" for name in "abc"]
    for path, seed in zip(files, (7, 7, 8), strict=True):
        produce(path, seed=seed, events=3)
    first, again, other = (read(path, "Tower.ET").tolist() for path in files)
    assert first == again != other


def test_nothing_is_left_of_a_part_that_fails(tmp_path):
    with pytest.raises(CwolaflowError):
        produce(tmp_path / "part.root", settings={"Beams:none": 1})
    lhe = tmp_path / "empty.lhe"
    lhe.write_text(
        '<LesHouchesEvents version="3.0">\n<init>\n2212 2212 6500 6500 0 0 0 0 3 1\n'
        "25 0.1 1 1\n</init>\n</LesHouchesEvents>\n"
    )
    output = tmp_path / "parts" / "part.root"
    with pytest.raises(StatisticsError, match=r"empty\.lhe"):
        produce_part(
            RESOURCES / "pythia" / "lhe.cmnd", {"Beams:LHEF": lhe}, {}, 3, 1, DETECTOR_CARD, output
        )
    assert not list(output.parent.glob("*"))
    assert not list(tmp_path.glob("*.root")) + list(tmp_path.glob("*.json"))


def made_up(**changes):
    part = {
        "events": 100,
        "tried": 1000,
        "accepted": 100,
        "sigma_pb": 2.0,
        "sigma_error_pb": 0.3,
        "seed": 1,
        "process_card": "vbf_hinv.cmnd",
        "process_card_sha256": "a",
        "detector_card_sha256": "b",
        "settings": {},
        "detector_changes": {},
        "filter": {},
        "parton_cuts": {},
        "lepton_cuts": {},
    }
    return part | changes


def test_one_part_combined_is_itself():
    combined = combine_provenance([made_up()])
    assert combined == {
        "cross_section_pb": 2.0,
        "error_pb": 0.3,
        "filter_efficiency": 0.1,
        "events": 100,
    }


def test_parts_combined_by_hand():
    # (1000 * 2 + 3000 * 4) / 4000 = 3.5; sqrt(300^2 + 400^2) / 4000 = 0.125.
    other = made_up(
        tried=3000, sigma_pb=4.0, sigma_error_pb=0.4 / 3, seed=2, events=300, accepted=300
    )
    combined = combine_provenance([made_up(), other])
    assert combined["cross_section_pb"] == pytest.approx(3.5)
    assert combined["error_pb"] == pytest.approx(0.125)
    assert combined["events"] == 400
    assert combined["filter_efficiency"] == pytest.approx(400 / 4000)


def test_equal_parts_reduce_the_error():
    parts = [made_up(seed=seed) for seed in range(9)]
    combined = combine_provenance(parts)
    assert combined["error_pb"] == pytest.approx(0.1)
    assert combined["cross_section_pb"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "share a seed"),
        ({"seed": 2, "filter": {"invisible_pt_min": 1}}, "differ in filter"),
        ({"seed": 2, "parton_cuts": {"pt_min": 20}}, "differ in parton_cuts"),
        ({"seed": 2, "lepton_cuts": {"pt_min": 10}}, "differ in lepton_cuts"),
        ({"seed": 2, "process_card_sha256": "c"}, "differ in process_card_sha256"),
    ],
)
def test_parts_that_do_not_belong_together(change, message):
    with pytest.raises(InputError, match=message):
        combine_provenance([made_up(), made_up(**change)])


def test_no_parts():
    with pytest.raises(InputError, match="no parts"):
        combine_provenance([])


def test_settings_of_a_part():
    production = {"settings": {"25:m0": 120}, "events_per_part": 50}
    assert part_settings(production) == ({"25:m0": 120}, 50)
    dark = production | {"hidden_valley": {"dark_scale": 10, "decay": "direct"}}
    settings, _ = part_settings(dark)
    assert settings["HiddenValley:Lambda"] == "10"
    assert settings["25:m0"] == 120
    showered = production | {"lhe": {"events_per_file": 7}}
    assert part_settings(showered, "a.lhe") == ({"25:m0": 120, "Beams:LHEF": "a.lhe"}, 7)
