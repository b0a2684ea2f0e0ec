import awkward as ak
import numpy as np
import pytest
import uproot

from cwolaflow.columns import BRANCHES
from cwolaflow.delphes import DelphesFile
from cwolaflow.errors import InputError
from delphes_writer import Event, Jet, write_delphes

EVENTS = [
    Event(jets=[Jet(50, 1, 0.5, 5, 21), Jet(90, -1, 0.1, 9, 2)], missing_et=10, weight=-0.5),
    Event(towers=[(3, 4.9, 0.2), (7, -4.9, 0.3)], tracks=[(1, 0, 0)], photons=[(20, 0, 1)]),
    Event(jets=[Jet(30, 0, 0)], electrons=[(15, 1, 1), (25, 2, 2)], missing_et=300),
]


def _read(path, columns=None, chunk_events=1000):
    with DelphesFile(path) as file:
        return list(file.chunks(columns or file.columns, chunk_events))


def test_columns_of_constructed_events(tmp_path):
    [(start, events)] = _read(write_delphes(tmp_path / "a.root", EVENTS))
    assert start == 0
    assert events.keys() == BRANCHES.keys()
    assert events["event_weight"].tolist() == [-0.5, 1, 1]
    assert events["missing_et"].tolist() == [10, 0, 300]
    assert events["jet_pt"].to_list() == [[90, 50], [], [30]]
    assert events["jet_flavour"].to_list() == [[2, 21], [], [1]]
    assert events["jet_mass"].to_list() == [[9, 5], [], [0]]
    assert events["electron_eta"].to_list() == [[], [], [2, 1]]
    assert events["tower_et"].to_list() == [[], [3, 7], []]
    assert events["jet_flavour"].type.content.content.primitive == "int32"
    assert events["jet_pt"].type.content.content.primitive == "float32"


def test_leptons_are_the_electrons_and_then_the_muons(tmp_path):
    event = Event(electrons=[(15, 1, 0.1), (25, 2, 0.2)], muons=[(40, -1, 0.3)])
    path = write_delphes(tmp_path / "a.root", [event, Event(muons=[(9, 0, 3)]), Event()])
    [(_, events)] = _read(path, ["lepton_pt", "lepton_eta", "lepton_phi"])
    assert events["lepton_pt"].to_list() == [[25, 15, 40], [9], []]
    assert events["lepton_eta"].to_list() == [[2, 1, -1], [0], []]
    assert events["lepton_phi"][0].to_list() == pytest.approx([0.2, 0.1, 0.3])


def test_constituents_follow_the_order_of_their_jets(tmp_path):
    jets = [Jet(50, 1, 0, n_charged=3, n_neutrals=1), Jet(90, -1, 0, n_charged=7, n_neutrals=4)]
    path = write_delphes(tmp_path / "a.root", [Event(jets=jets), Event()])
    [(_, events)] = _read(path, ["jet_n_constituents"])
    assert events["jet_n_constituents"].to_list() == [[11, 4], []]
    assert events["jet_n_constituents"].type.content.content.primitive == "int32"
    assert not {"jet_n_charged", "jet_n_neutrals"} & events.keys()


def test_a_derived_column_needs_both_its_branches(tmp_path):
    path = write_delphes(tmp_path / "a.root", [Event()], drop=["Muon", "Jet.NNeutrals"])
    with DelphesFile(path) as file:
        assert file.derived == frozenset()
        with pytest.raises(InputError, match=r"no branch 'Muon\.PT', needed by the cut 'leptons'"):
            file.require({"lepton_pt": "the cut 'leptons'"})
        with pytest.raises(InputError, match=r"no branch 'Jet\.NNeutrals', needed by the cut 'c'"):
            file.require({"jet_n_constituents": "the cut 'c'"})


def test_real_layout_is_nested_and_reads_the_same_as_uproot(delphes_files):
    path = delphes_files["vbf_hinv"]
    tree = uproot.open(path)["Delphes"]
    assert "Jet/Jet.PT" in tree.keys()  # noqa: SIM118
    [(_, events)] = _read(path, ["jet_pt", "tower_eta", "missing_et"])
    assert events["jet_pt"].to_list() == tree["Jet.PT"].array().to_list()
    assert events["tower_eta"].to_list() == tree["Tower.Eta"].array().to_list()
    assert events["missing_et"].tolist() == tree["MissingET.MET"].array()[:, 0].to_list()


def test_chunks_are_bounded_and_complete(delphes_files):
    chunks = _read(delphes_files["ggf_hinv"], ["missing_et"], 128)
    assert [(start, len(events["missing_et"])) for start, events in chunks] == [
        (0, 128),
        (128, 128),
        (256, 44),
    ]


def test_a_colon_in_the_path(tmp_path):
    assert len(_read(write_delphes(tmp_path / "run:1.root", EVENTS))) == 1


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.98])
def test_truncated(tmp_path, delphes_files, share):
    content = delphes_files["wlnu_qcd"].read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cut\.root: truncated, damaged or not a ROOT file"):
        _read(path)


def test_damaged_where_only_reading_a_basket_shows_it(tmp_path, delphes_files):
    content = bytearray(delphes_files["wlnu_qcd"].read_bytes())
    branch = uproot.open(delphes_files["wlnu_qcd"])["Delphes"]["Tower.ET"]
    seek = int(branch.member("fBasketSeek")[0])
    size = int(branch.member("fBasketBytes")[0])
    content[seek : seek + size] = bytes(size)
    path = tmp_path / "hole.root"
    path.write_bytes(content)
    with DelphesFile(path) as file:
        assert file.entries == 300
    with pytest.raises(InputError, match=r"hole\.root: truncated, damaged") as caught:
        _read(path)
    assert "\n" not in str(caught.value)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match=r"none\.root: no such file"):
        DelphesFile(tmp_path / "none.root")
    (tmp_path / "text.root").write_text("not a ROOT file at all")
    with pytest.raises(InputError, match=r"text\.root: .*not a ROOT file"):
        DelphesFile(tmp_path / "text.root")


def test_no_tree_names_what_is_there(tmp_path):
    with uproot.recreate(tmp_path / "other.root") as file:
        file.mktree("Events", {"x": "float32"}).extend({"x": np.ones(2, np.float32)})
    with pytest.raises(InputError, match=r"other\.root: no tree 'Delphes' \(found: Events\)"):
        DelphesFile(tmp_path / "other.root")


def test_zero_events(tmp_path):
    with pytest.raises(InputError, match=r"empty\.root: the tree 'Delphes' has no events"):
        DelphesFile(write_delphes(tmp_path / "empty.root", []))


def test_missing_branch_names_branch_file_and_user(tmp_path):
    path = write_delphes(tmp_path / "a.root", EVENTS, drop=["Photon", "Jet.TauTag"])
    with DelphesFile(path) as file:
        assert "photon_pt" not in file.columns
        assert "jet_b_tag" in file.columns
        with pytest.raises(
            InputError, match=r"a\.root: no branch 'Photon\.PT', needed by the cut 'v'"
        ):
            file.require({"jet_pt": "x", "photon_pt": "the cut 'v'"})


def test_a_collection_without_momentum_cannot_be_sorted(tmp_path):
    path = write_delphes(tmp_path / "a.root", EVENTS, drop=["Jet.PT"])
    with DelphesFile(path) as file:
        assert "jet_eta" not in file.columns
        with pytest.raises(InputError, match=r"no branch 'Jet\.PT'"):
            file.require({"jet_eta": "a cut"})


def test_damage_that_the_decompressor_misses(tmp_path, delphes_files):
    content = bytearray(delphes_files["wlnu_qcd"].read_bytes())
    branch = uproot.open(delphes_files["wlnu_qcd"])["Delphes"]["MissingET.MET"]
    middle = int(branch.member("fBasketSeek")[0]) + int(branch.member("fBasketBytes")[0]) // 2
    content[middle : middle + 20] = bytes(20)
    path = tmp_path / "hole.root"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"hole\.root: "):
        _read(path)


@pytest.mark.parametrize(
    ("event", "branch", "value"),
    [
        (Event(jets=[Jet(50, 1, 1), Jet(40, np.nan, 1)]), "Jet.Eta", "nan"),
        (Event(missing_et=np.inf), "MissingET.MET", "inf"),
        (Event(weight=np.nan), "Event.Weight", "nan"),
        (Event(towers=[(1, 1, -np.inf)]), "Tower.Phi", "-inf"),
        (Event(tracks=[(1, 1, 1), (-2, 1, 1)]), "Track.PT", "-2"),
        (Event(towers=[(1e30, 1, 1)]), "Tower.ET", r"1e\+30"),
    ],
)
def test_values_that_cannot_be_are_refused(tmp_path, event, branch, value):
    path = write_delphes(tmp_path / "a.root", [*EVENTS, event, Event()])
    with pytest.raises(InputError, match=rf"a\.root: '{branch}' is {value} in entry 3;"):
        _read(path, chunk_events=2)


def _tree_with_weights(path, weights):
    with uproot.recreate(path) as file:
        file.mktree("Delphes", {"Event.Weight": weights.type.content}).extend(
            {"Event.Weight": weights}
        )
    return path


def test_weight_written_as_a_plain_number(tmp_path):
    path = _tree_with_weights(tmp_path / "a.root", ak.Array(np.array([2, -1], np.float32)))
    [(_, events)] = _read(path)
    assert events["event_weight"].tolist() == [2, -1]


def test_an_event_has_one_weight(tmp_path):
    path = _tree_with_weights(tmp_path / "a.root", ak.Array([[1.0], [1.0, 2.0]]))
    with pytest.raises(InputError, match=r"a\.root: 2 values of 'Event\.Weight' in entry 1"):
        _read(path)
