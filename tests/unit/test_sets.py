import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from toys import write_skim

from cwolaflow.errors import InputError
from cwolaflow.representation.sets import ParticleSets, build_sets, standardise_pt

torch.set_num_threads(1)

CONFIG = {"reference": "leading_jet", "max_towers": 3, "max_tracks": 2}


def event(n_towers, n_tracks, seed):
    rng = np.random.default_rng(seed)
    made = {}
    for kind, pt, n in (("tower", "et", n_towers), ("track", "pt", n_tracks)):
        made[f"{kind}_{pt}"] = rng.exponential(10, n)
        made[f"{kind}_eta"] = rng.uniform(-5, 5, n)
        made[f"{kind}_phi"] = rng.uniform(-np.pi, np.pi, n)
    return made


def build(folder, events, jet_eta, jet_phi, config=CONFIG):
    skim = [
        made | {"jet_eta": [eta], "jet_phi": [phi]}
        for made, eta, phi in zip(events, jet_eta, jet_phi, strict=True)
    ]
    write_skim(folder / "skim.parquet", skim)
    build_sets(folder / "skim.parquet", config, folder / "s.parquet", batch_events=7)
    return pq.read_table(folder / "s.parquet").to_pylist()


def test_hardest_of_each_kind_in_the_frame_of_the_leading_jet(tmp_path):
    made = {
        "tower_et": [1.0, 4.0, 2.0, 3.0],
        "tower_eta": [0.1, 0.4, 0.2, 0.3],
        "tower_phi": [0.0, 3.0, -3.0, 1.0],
        "track_pt": [5.0],
        "track_eta": [-0.5],
        "track_phi": [2.0],
    }
    (row,) = build(tmp_path, [made], jet_eta=[-1.0], jet_phi=[2.0])
    assert row["event_id"] == 100
    assert row["kind"] == [0, 0, 0, 1]
    assert row["pt"] == [4.0, 3.0, 2.0, 5.0]
    np.testing.assert_allclose(row["eta"], [-0.4, -0.3, -0.2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(row["phi"], [1.0, -1.0, -5 + 2 * np.pi, 0.0], atol=1e-6)


def test_kinds_that_are_missing_in_an_event(tmp_path):
    rows = build(tmp_path, [event(5, 0, 1), event(0, 4, 2), event(0, 0, 3)], [1] * 3, [0] * 3)
    assert [row["kind"] for row in rows] == [[0, 0, 0], [1, 1], []]


def test_orientation_of_the_event_does_not_matter(tmp_path):
    events = [event(6, 5, seed) for seed in range(20)]
    jet_eta, jet_phi = np.linspace(-3, 3, 20), np.linspace(-3, 3, 20)
    upright = build(tmp_path, events, jet_eta, jet_phi)
    for made in events:
        for kind in ("tower", "track"):
            made[f"{kind}_phi"] = np.angle(np.exp(1j * (made[f"{kind}_phi"] + 2.5)))
            made[f"{kind}_eta"] = -made[f"{kind}_eta"]
    turned = build(tmp_path, events, -jet_eta, np.angle(np.exp(1j * (jet_phi + 2.5))))
    for a, b in zip(upright, turned, strict=True):
        for name in ("pt", "eta", "phi"):
            np.testing.assert_allclose(a[name], b[name], atol=2e-6)


def test_batch_is_padded_to_its_longest_event(tmp_path):
    build(tmp_path, [event(5, 4, 1), event(1, 1, 2), event(2, 0, 3)], [1, -1, 1], [0, 1, 2])
    sets, event_id = ParticleSets.read([tmp_path / "s.parquet"] * 2)
    assert event_id.tolist() == [100, 101, 102] * 2
    assert len(sets) == 6
    assert sets.input_shape == (5,)
    features, mask = sets.batch(torch.tensor([2, 1]))
    assert features.shape == (2, 2, 5)
    assert mask.all()
    features, mask = sets.batch(torch.tensor([4, 0]))
    assert mask.tolist() == [[True, True, False, False, False], [True] * 5]
    assert (features[0, 2:] == 0).all()
    assert features[1, :, 3:].argmax(1).tolist() == [0, 0, 0, 1, 1]
    assert (features[..., 3:].sum(-1) == mask).all()


def test_pt_is_standardised_per_event_and_kind(tmp_path):
    rows = build(tmp_path, [event(3, 2, s) for s in range(10)], np.ones(10), np.zeros(10))
    sets, _ = ParticleSets.read([tmp_path / "s.parquet"])
    features, _ = sets.batch(torch.arange(10))
    for row, event_features in zip(rows, features.numpy(), strict=True):
        for kind in (0, 1):
            pt = np.array(row["pt"])[np.array(row["kind"]) == kind]
            expected = (pt - pt.mean()) / pt.std()
            got = event_features[event_features[:, 3 + kind] == 1, 0]
            np.testing.assert_allclose(got, expected, atol=1e-5)


def test_equal_momenta_become_zero():
    pt = np.array([0.1, 0.1, 0.1, 7.0], np.float32)
    kind = np.array([0, 0, 0, 1], np.int8)
    np.testing.assert_allclose(standardise_pt(np.zeros(4, int), kind, pt), 0, atol=1e-6)


def test_column_that_the_skim_lacks(tmp_path):
    made = event(2, 2, 1)
    del made["track_eta"]
    with pytest.raises(InputError, match="track_eta"):
        build(tmp_path, [made], [1.0], [0.0])


def test_damaged_file(tmp_path):
    (tmp_path / "s.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"s\.parquet"):
        ParticleSets.read([tmp_path / "s.parquet"])
