from dataclasses import replace

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

from cwolaflow.delphes import DelphesFile
from cwolaflow.errors import ConfigError, InputError
from cwolaflow.selection import skimmed
from cwolaflow.selection.skim import INTEGER_COLUMNS, skim_files
from cwolaflow.selection.skimmed import iterate_skim, merge_skims
from delphes_writer import Event, Jet, write_columns, write_delphes

GOOD = Event(
    jets=[Jet(200, 2, 0.25, 4, 21), Jet(100, -2, -0.25, 3, 0)],
    missing_et=300,
    missing_et_phi=3.0,
    towers=[(5, 1, 1), (2, -3, 0)],
    tracks=[(1, 0.5, 0.5)],
)
BAD = replace(GOOD, missing_et=10)
LOOSE = [{"name": "met", "require": "missing_et > 200"}]


@pytest.mark.parametrize(
    ("sample", "left"),
    [("vbf_hinv", 127), ("ggf_hinv", 72), ("znunu_qcd", 63), ("wlnu_qcd", 27)],
)
def test_known_numbers_of_real_events(tmp_path, delphes_files, hinv, sample, left):
    cutflow = skim_files([delphes_files[sample]], hinv["skim"], tmp_path / "s.parquet")
    assert cutflow["events"] == 300
    assert cutflow["cuts"][-1]["events"] == left
    assert pq.read_metadata(tmp_path / "s.parquet").num_rows == left


@pytest.mark.parametrize(
    ("sample", "left"),
    [("vbf_haa", [300, 157, 137, 130, 117]), ("ggf_haa", [300, 149, 35, 34, 34])],
)
def test_photon_cutflow_of_real_events(tmp_path, diphoton_files, vbf_ggf, sample, left):
    # Counted by hand from the branches of the files.
    cutflow = skim_files([diphoton_files[sample]], vbf_ggf["skim"], tmp_path / "s.parquet")
    assert [row["events"] for row in cutflow["cuts"]] == left
    names = ["all", "photons", "jets", "m_photon_photon", "jet_constituents"]
    assert [row["cut"] for row in cutflow["cuts"]] == names
    table = pq.read_table(tmp_path / "s.parquet")
    assert all(min(counts[:2]) >= 5 for counts in table["jet_n_constituents"].to_pylist())
    assert "lepton_pt" not in table.schema.names


def test_derived_columns_are_there_where_a_cut_uses_them(tmp_path, hinv):
    event = replace(GOOD, electrons=[(20, 1, 0.5)], muons=[(30, -1, 2), (10, 0, 1)])
    path = write_delphes(tmp_path / "a.root", [GOOD, event])
    skim = {**hinv["skim"], "objects": {"lepton": {"collection": "leptons", "pt_min": 15}}}
    skim["cuts"] = [{"name": "leptons", "require": "n_lepton == 2"}]
    skim_files([path], skim, tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    assert table["lepton_pt"].to_pylist() == [[20, 30, 10]]
    assert table["lepton_eta"].to_pylist() == [[1, -1, 0]]
    assert table["lepton_phi"].to_pylist() == [[0.5, 2, 1]]
    assert "jet_n_constituents" not in table.schema.names
    with pytest.raises(InputError, match=r"no column 'jet_n_constituents'; let a cut"):
        list(iterate_skim(tmp_path / "s.parquet", ["jet_n_constituents"]))
    skim["cuts"] = [{"name": "c", "require": "jet2_n_constituents >= 5"}]
    skim_files([path], skim, tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    assert table["jet_n_constituents"].to_pylist() == [[10, 10]] * 2
    assert not {"lepton_pt", "lepton_eta", "lepton_phi"} & set(table.schema.names)


def test_content_and_schema(tmp_path, hinv):
    path = write_delphes(tmp_path / "a.root", [BAD, replace(GOOD, weight=-1.5), BAD, GOOD])
    skim_files([path, path], hinv["skim"], tmp_path / "s.parquet", file_index=7)
    table = pq.read_table(tmp_path / "s.parquet")
    assert table["event_id"].to_pylist() == [file * 2**32 + e for file in (7, 8) for e in (1, 3)]
    assert table["event_weight"].to_pylist() == [-1.5, 1, -1.5, 1]
    assert table["jet_pt"][0].as_py() == [200, 100]
    assert table["jet_flavour"][0].as_py() == [21, 0]
    assert table["tower_eta"][3].as_py() == [1, -3]
    assert table["photon_pt"][0].as_py() == []
    types = {field.name: str(field.type).replace("element", "item") for field in table.schema}
    assert types["event_id"] == "int64"
    assert types["event_weight"] == "double"
    assert types["missing_et"] == types["missing_et_phi"] == "float"
    assert types["jet_flavour"] == types["jet_b_tag"] == types["jet_tau_tag"] == "list<item: int32>"
    rest = set(types) - {"event_id", "event_weight", "missing_et", "missing_et_phi"}
    assert {types[name] for name in rest if name not in INTEGER_COLUMNS} == {"list<item: float>"}


def test_flat_and_nested_layout_give_the_same(tmp_path, delphes_files, hinv):
    nested = delphes_files["wlnu_qcd"]
    with DelphesFile(nested) as file:
        [(_, columns)] = file.chunks(file.columns, 1000)
    flat = write_columns(tmp_path / "flat.root", columns)
    one = skim_files([nested], hinv["skim"], tmp_path / "nested.parquet")
    other = skim_files([flat], hinv["skim"], tmp_path / "flat.parquet")
    assert one == other
    assert pq.read_table(tmp_path / "nested.parquet").equals(
        pq.read_table(tmp_path / "flat.parquet")
    )


def test_order_of_jets_in_the_file_does_not_matter(tmp_path, hinv):
    third = Jet(35, 0, -1, 2, 5)
    sorted_jets = replace(GOOD, jets=[*GOOD.jets, third])
    mixed = replace(GOOD, jets=[third, *GOOD.jets[::-1]])
    skim_files([write_delphes(tmp_path / "a.root", [sorted_jets])], hinv["skim"], tmp_path / "a.pq")
    skim_files([write_delphes(tmp_path / "b.root", [mixed])], hinv["skim"], tmp_path / "b.pq")
    assert pq.read_table(tmp_path / "a.pq").equals(pq.read_table(tmp_path / "b.pq"))


@pytest.mark.parametrize("chunk_events", [7, 299, 300])
def test_chunk_size_does_not_matter(tmp_path, delphes_files, hinv, chunk_events):
    path = delphes_files["ggf_hinv"]
    whole = skim_files([path], hinv["skim"], tmp_path / "whole.parquet")
    skim = {**hinv["skim"], "chunk_events": chunk_events}
    assert skim_files([path], skim, tmp_path / "chunks.parquet") == whole
    assert pq.read_table(tmp_path / "chunks.parquet").equals(
        pq.read_table(tmp_path / "whole.parquet")
    )


def test_row_groups_gather_chunks(tmp_path, delphes_files, hinv, monkeypatch):
    monkeypatch.setattr(skimmed, "ROW_GROUP_EVENTS", 50)
    skim = {**hinv["skim"], "chunk_events": 20}
    skim_files([delphes_files["vbf_hinv"]], skim, tmp_path / "s.parquet")
    metadata = pq.read_metadata(tmp_path / "s.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == 127
    assert all(50 <= size < 70 for size in sizes[:-1])


def test_parts_merge_to_the_whole(tmp_path, delphes_files, hinv):
    files = [delphes_files["vbf_hinv"], delphes_files["ggf_hinv"], delphes_files["znunu_qcd"]]
    whole = skim_files(files, hinv["skim"], tmp_path / "whole.parquet")
    parts = [tmp_path / f"part{i}.parquet" for i in range(3)]
    cutflows = [
        skim_files([file], hinv["skim"], part, file_index=i)
        for i, (file, part) in enumerate(zip(files, parts, strict=True))
    ]
    assert merge_skims(parts, cutflows, tmp_path / "merged.parquet") == whole
    assert pq.read_table(tmp_path / "merged.parquet").equals(
        pq.read_table(tmp_path / "whole.parquet")
    )


def test_nothing_passes(tmp_path, hinv):
    empty = write_delphes(tmp_path / "bad.root", [BAD, BAD])
    full = write_delphes(tmp_path / "good.root", [GOOD])
    none = skim_files([empty], hinv["skim"], tmp_path / "none.parquet")
    some = skim_files([full], hinv["skim"], tmp_path / "some.parquet", file_index=1)
    assert none["cuts"][-1] == {"cut": "m_jj", "events": 0, "sum_of_weights": 0.0}
    assert pq.read_schema(tmp_path / "none.parquet").equals(
        pq.read_schema(tmp_path / "some.parquet")
    )
    parts = [tmp_path / "none.parquet", tmp_path / "some.parquet"]
    merged = merge_skims(parts, [none, some], tmp_path / "merged.parquet")
    assert merged["cuts"][-1]["events"] == 1
    assert pq.read_table(tmp_path / "merged.parquet")["event_id"].to_pylist() == [2**32]


@pytest.mark.parametrize(
    ("drop", "column", "cut"),
    [("Photon", "Photon.PT", "photon_veto"), ("Jet.TauTag", "Jet.TauTag", "tau_veto")],
)
def test_a_branch_is_needed_only_by_a_cut_that_uses_it(tmp_path, hinv, drop, column, cut):
    path = write_delphes(tmp_path / "a.root", [GOOD], drop=[drop])
    with pytest.raises(
        InputError, match=rf"a\.root: no branch '{column}', needed by the cut '{cut}'"
    ):
        skim_files([path], hinv["skim"], tmp_path / "s.parquet")
    assert not (tmp_path / "s.parquet").exists()
    cuts = [entry for entry in hinv["skim"]["cuts"] if entry["name"] != cut]
    cutflow = skim_files([path], {**hinv["skim"], "cuts": cuts}, tmp_path / "s.parquet")
    assert cutflow["cuts"][-1]["events"] == 1
    names = pq.read_schema(tmp_path / "s.parquet").names
    assert "jet_pt" in names
    assert not any(name.startswith("photon") for name in names) or drop != "Photon"
    assert "jet_tau_tag" not in names or drop != "Jet.TauTag"


def test_what_later_stages_need_is_asked_for_at_once(tmp_path, hinv):
    path = write_delphes(tmp_path / "a.root", [GOOD], drop=["Tower", "Track"])
    skim = {**hinv["skim"], "cuts": LOOSE}
    with pytest.raises(InputError, match=r"no branch 'Tower\.ET', needed by the event table"):
        skim_files([path], skim, tmp_path / "s.parquet")
    with pytest.raises(InputError, match=r"no branch 'Track\.PT', needed by the set 'particles'"):
        skim_files([path], skim, tmp_path / "s.parquet", needed={"track_pt": "the set 'particles'"})


def test_files_of_a_sample_have_the_same_branches(tmp_path, hinv):
    skim = {**hinv["skim"], "cuts": LOOSE}
    files = [
        write_delphes(tmp_path / "a.root", [GOOD]),
        write_delphes(tmp_path / "b.root", [GOOD], drop=["Photon"]),
    ]
    with pytest.raises(InputError, match=r"b\.root: other branches than .*a\.root \(Photon\.Eta"):
        skim_files(files, skim, tmp_path / "s.parquet")
    parts = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    cutflows = [skim_files([f], skim, p) for f, p in zip(files, parts, strict=True)]
    with pytest.raises(InputError, match=r"b\.parquet: other columns than .*photon_eta"):
        merge_skims(parts, cutflows, tmp_path / "s.parquet")
    with pytest.raises(ConfigError, match="different cuts"):
        merge_skims(parts, [cutflows[0], {**cutflows[1], "cuts": []}], tmp_path / "s.parquet")


def test_a_file_that_fails_leaves_no_output(tmp_path, delphes_files, hinv):
    damaged = tmp_path / "cut.root"
    damaged.write_bytes(delphes_files["vbf_hinv"].read_bytes()[:50_000])
    with pytest.raises(InputError, match=r"cut\.root"):
        skim_files(
            [delphes_files["vbf_hinv"], damaged], hinv["skim"], tmp_path / "out" / "s.parquet"
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_a_skim_is_read_back_in_batches(tmp_path, hinv):
    events = [
        replace(GOOD, jets=[replace(GOOD.jets[0], pt=pt), GOOD.jets[1]]) for pt in (150, 160, 170)
    ]
    skim_files([write_delphes(tmp_path / "a.root", events)], hinv["skim"], tmp_path / "s.parquet")
    batches = list(iterate_skim(tmp_path / "s.parquet", ["event_id", "jet_pt", "missing_et"], 2))
    assert [len(batch["jet_pt"]) for batch in batches] == [2, 1]
    assert ak.concatenate([b["jet_pt"] for b in batches]).to_list() == [
        [150, 100],
        [160, 100],
        [170, 100],
    ]
    assert np.concatenate([b["event_id"] for b in batches]).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"s\.parquet: no column 'tower_z'"):
        list(iterate_skim(tmp_path / "s.parquet", ["tower_z"]))
    (tmp_path / "damaged.parquet").write_bytes((tmp_path / "s.parquet").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"damaged\.parquet: not readable as Parquet"):
        list(iterate_skim(tmp_path / "damaged.parquet", ["event_id"]))
