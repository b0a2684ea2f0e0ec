import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from published_events import features, preprocess, random_events, remove_decay_products
from toys import write_skim

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.representation.build_sets import build_sets
from cwolaflow.representation.constituents import Particles
from cwolaflow.representation.sets import (
    ParticleSets,
    standardise_pt,
    without_decay_products,
)

torch.set_num_threads(1)

CONFIG = {"reference": "leading_jet", "max_towers": 3, "max_tracks": 2}
PUBLISHED = {
    "reference": "pt_centroid",
    "order": "file",
    "max_towers": 250,
    "max_tracks": 150,
    "decay_products": {"photons": 2},
}


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


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """120 events with two photons: what the reference makes of them, and their set file."""
    folder = tmp_path_factory.mktemp("published")
    skims, events = random_events(120, 5)
    write_skim(folder / "skim.parquet", skims)
    build_sets(folder / "skim.parquet", PUBLISHED, folder / "s.parquet", batch_events=50)
    return [preprocess(event, 402) for event in events], folder / "s.parquet"


@pytest.mark.parametrize("decay_products", ["with", "without"])
def test_as_published_event_by_event(published, decay_products):
    events, path = published
    for event, row in zip(events, pq.read_table(path).to_pylist(), strict=True):
        for number, name in enumerate(("pt", "eta", "phi", "kind")):
            np.testing.assert_allclose(row[name], [p[number] for p in event], atol=1e-6)
    sets, _ = ParticleSets.read([path], decay_products=decay_products)
    n_kinds = 3 if decay_products == "with" else 2
    assert sets.input_shape == (3 + n_kinds,)
    batch, mask = sets.batch(torch.arange(120))
    removed = 0
    for event, got, valid in zip(events, batch.numpy(), mask.numpy(), strict=True):
        kept = event if decay_products == "with" else remove_decay_products(event)
        removed += len(event) - len(kept)
        np.testing.assert_allclose(got[valid], features(kept, n_kinds), atol=2e-5)
        assert (got[~valid] == 0).all()
    # At least both photons and the towers at their place.
    assert removed == 0 if decay_products == "with" else removed >= 4 * 120


def test_truncation_in_the_order_of_the_file_or_of_pt(tmp_path):
    made = {
        "tower_et": [1.0, 4.0, 2.0, 3.0],
        "tower_eta": [0.1, 0.4, 0.2, 0.3],
        "tower_phi": [0.0] * 4,
        "track_pt": [2.0, 1.0, 3.0],
        "track_eta": [0.2, 0.1, 0.3],
        "track_phi": [0.0] * 3,
    }
    (row,) = build(tmp_path, [made], [1], [0], CONFIG | {"order": "file"})
    assert row["pt"] == [1, 4, 2, 2, 1]
    np.testing.assert_allclose(row["eta"], [0.1, 0.4, 0.2, 0.2, 0.1], rtol=1e-6)
    (row,) = build(tmp_path, [made], [1], [0], CONFIG | {"order": "pt"})
    assert row["pt"] == [4, 3, 2, 3, 2]


def test_hardest_photons_and_leptons_are_kept_and_enter_the_frame(tmp_path):
    made = event(0, 0, 1) | {
        "photon_pt": [30.0, 50.0, 40.0],
        "photon_eta": [3.0, 5.0, 4.0],
        "photon_phi": [0.3, 0.5, 0.4],
        "lepton_pt": [10.0],
        "lepton_eta": [1.0],
        "lepton_phi": [0.1],
    }
    config = PUBLISHED | {"decay_products": {"leptons": 4, "photons": 2}}
    (row,) = build(tmp_path, [made], [1], [0], config)
    assert row["kind"] == [2, 2, 2]
    assert row["pt"] == [50, 40, 10]
    centre = (50 * 0.5 + 40 * 0.4 + 10 * 0.1) / 100
    # The hardest quadrant is the first already: nothing is mirrored.
    np.testing.assert_allclose(row["phi"], np.array([0.5, 0.4, 0.1]) - centre, atol=1e-6)


def test_all_slots_count_in_the_variance(tmp_path):
    # Two towers at φ = ±3: a variance of 18 / slots, which is above 0.5 with less than 36.
    made = event(0, 0, 1) | {"photon_pt": [], "photon_eta": [], "photon_phi": []}
    made |= {"tower_et": [1.0, 1.0], "tower_eta": [1.0, -1.0], "tower_phi": [3.0, -3.0]}
    for towers, shifted in ((23, True), (24, False)):
        config = PUBLISHED | {"max_towers": towers, "max_tracks": 10}
        (row,) = build(tmp_path, [made], [1], [0], config)
        assert (abs(row["phi"][0]) < 1) == shifted
    (row,) = build(tmp_path, [made], [1], [0], config | {"variance_over": "constituents"})
    assert abs(row["phi"][0]) < 1


def test_order_of_the_constituents_does_not_matter(tmp_path, published):
    _, path = published
    rng = np.random.default_rng(1)
    skims, _ = random_events(20, 5)
    shuffled = []
    for skim in skims:
        made = {}
        for kind in ("tower", "track", "photon"):
            names = [name for name in skim if name.startswith(kind)]
            order = rng.permutation(len(skim[names[0]]))
            made |= {name: [skim[name][i] for i in order] for name in names}
        shuffled.append(made)
    rows = build(tmp_path, shuffled, [1] * 20, [0] * 20, PUBLISHED)
    for got, expected in zip(rows, pq.read_table(path).to_pylist()[:20], strict=True):
        for name in ("pt", "eta", "phi"):
            np.testing.assert_allclose(np.sort(got[name]), np.sort(expected[name]), atol=1e-6)


def particles(event, dtype=np.float64):
    pt, eta, phi = np.array([p[:3] for p in event], dtype).reshape(-1, 3).T
    kind = np.array([p[3] for p in event], np.int8)
    rows = np.zeros(len(event), int)
    return Particles(1, rows, np.arange(len(event)), pt, eta, phi, kind)


def test_window_of_removal_by_hand():
    half_phi, half_eta = np.pi / 40, 0.125
    near = [
        (1, 0.5, 1.0, 0),
        (2, 0.5 + half_eta - 1e-6, 1.0 - half_phi + 1e-6, 1),
    ]
    far = [
        (3, 0.5 + half_eta, 1.0, 0),  # the limit is outside
        (4, 0.5, 1.0 + half_phi + 1e-6, 1),
        (5, -0.5, 1.0, 0),
    ]
    photon = [(50, 0.5, 1.0, 2)]
    kept = without_decay_products(particles(near + far + photon))
    assert kept.pt.tolist() == [3, 4, 5]
    assert kept.kind.tolist() == [0, 1, 0]


def test_window_of_removal_ends_at_the_seam():
    kept = without_decay_products(particles([(1, 0, -3.13, 0), (2, 0, 3.13, 1), (3, 0, 3.14, 2)]))
    assert kept.pt.tolist() == [1]


PARTICLES = st.tuples(
    st.floats(0, 1e3), st.floats(-5, 5), st.floats(-np.pi, np.pi), st.integers(0, 2)
)


@given(st.lists(PARTICLES, max_size=8), st.integers(0, 7))
def test_removal_as_published_for_any_event(event, which):
    if event:  # something lies at a decay product, too
        pt, eta, phi, _ = event[which % len(event)]
        event = [*event, (pt, eta, phi, 2), (pt, eta, phi, 0)]
    kept = without_decay_products(particles(event))
    expected = remove_decay_products(event)
    assert list(zip(kept.pt, kept.eta, kept.phi, kept.kind, strict=True)) == expected


def test_events_that_lose_everything(tmp_path):
    made = event(0, 0, 1)
    for kind, pt in (("tower", "et"), ("track", "pt"), ("photon", "pt")):
        made |= {f"{kind}_{pt}": [9.0], f"{kind}_eta": [1.0], f"{kind}_phi": [1.0]}
    build(tmp_path, [made, made], [1, 1], [0, 0], PUBLISHED)
    sets, _ = ParticleSets.read([tmp_path / "s.parquet"], decay_products="without")
    batch, mask = sets.batch(torch.tensor([0, 1]))
    assert batch.shape == (2, 0, 5)
    assert mask.shape == (2, 0)


def test_ways_to_standardise_pt(published):
    events, path = published
    rows = torch.arange(120)
    sets = {
        key: ParticleSets.read([path], decay_products="with", standardise_pt=key)[0]
        for key in ("kind", "event", "log")
    }
    for number, event in enumerate(events):
        pt = np.array([p[0] for p in event])
        is_photon = np.array([p[3] == 2 for p in event])
        got = {key: one.batch(rows[[number]])[0][0, :, 0].numpy() for key, one in sets.items()}
        # The published way loses the pT of two photons.
        np.testing.assert_allclose(np.sort(got["kind"][is_photon]), [-1, 1], atol=1e-4)
        np.testing.assert_allclose(got["event"], (pt - pt.mean()) / pt.std(), atol=1e-5)
        np.testing.assert_allclose(got["log"], np.log(1 + pt), atol=1e-6)


def test_unknown_options(tmp_path, published):
    _, path = published
    with pytest.raises(InputError, match=r"input\.decay_products.*with, without"):
        ParticleSets.read([path])
    with pytest.raises(ConfigError, match=r"decay_products.*'no'.*with, without"):
        ParticleSets.read([path], decay_products="no")
    with pytest.raises(ConfigError, match=r"standardise_pt.*'z'.*kind, event, log"):
        ParticleSets.read([path], decay_products="with", standardise_pt="z")
    for change in ({"order": "eta"}, {"reference": "pt_centroid", "variance_over": "all"}):
        with pytest.raises(ConfigError, match=list(change.values())[-1]):
            build(tmp_path, [event(2, 2, 1)], [1], [0], CONFIG | change)
    with pytest.raises(InputError, match="lepton_pt"):
        build(tmp_path, [event(2, 2, 1)], [1], [0], CONFIG | {"decay_products": {"leptons": 4}})
