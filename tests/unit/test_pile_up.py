import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats
from toys import write_skim

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.representation import pile_up as module
from cwolaflow.representation.build_images import build_images
from cwolaflow.representation.build_sets import build_sets
from cwolaflow.representation.images import SparseImages
from cwolaflow.representation.pile_up import PileUp
from cwolaflow.representation.pile_up_library import build_library
from delphes_writer import Event, write_delphes

torch.set_num_threads(1)

IMAGE = {
    "reference": "leading_jet",
    "eta_bins": 20,
    "phi_bins": 16,
    "eta_range": [-5, 5],
    "phi_padding": 0,
}
SET = {"reference": "leading_jet", "max_towers": 30, "max_tracks": 5}
N_LIBRARY = 12
MANY = np.arange(20_000, dtype=np.int64) * 3 + (5 << 32)


def minimum_bias(n=N_LIBRARY, seed=1):
    """Events of i towers, whose E_T are different multiples of 1/8 GeV."""
    rng = np.random.default_rng(seed)
    energies = iter(np.arange(1, n * n) / 8)
    return [
        Event(
            towers=[
                (next(energies), eta, phi)
                for eta, phi in zip(
                    rng.uniform(-4.9, 4.9, i), rng.uniform(-3.1, 3.1, i), strict=True
                )
            ]
        )
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    delphes = write_delphes(folder / "minimum_bias.root", minimum_bias())
    build_library([delphes], folder / "library.parquet")
    return folder / "library.parquet"


@pytest.fixture
def one_tower(tmp_path):
    """A library with one event of one tower at η = 2, φ = 1."""
    delphes = write_delphes(tmp_path / "one.root", [Event(towers=[(0.5, 2.0, 1.0)])])
    build_library([delphes], tmp_path / "one.parquet")
    return tmp_path / "one.parquet"


@pytest.fixture
def skim(tmp_path):
    """40 hard events, whose E_T are multiples of 1/4 GeV."""
    rng = np.random.default_rng(3)
    events = []
    for i in range(40):
        event = {"jet_eta": [rng.uniform(-4, 4)], "jet_phi": [rng.uniform(-3, 3)]}
        for kind, pt, n in (("tower", "et", i), ("track", "pt", 8)):
            event[f"{kind}_{pt}"] = rng.permutation(100)[:n] / 4
            event[f"{kind}_eta"] = rng.uniform(-4.9, 4.9, n)
            event[f"{kind}_phi"] = rng.uniform(-3.1, 3.1, n)
        events.append(event)
    write_skim(tmp_path / "skim.parquet", events)
    return tmp_path / "skim.parquet"


def images(skim, name, library=None, mean=None, seed=7, **options):
    config = IMAGE
    if mean is not None:
        config = IMAGE | {"pile_up": {"library": "minbias", "mean": mean, "reflect": True}}
    output = skim.parent / f"{name}.parquet"
    build_images(skim, config, output, pile_up_library=library, pile_up_seed=seed, **options)
    return output


def sets(skim, name, library=None, mean=None, seed=7, **options):
    config = SET
    if mean is not None:
        config = SET | {"pile_up": {"library": "minbias", "mean": mean, "reflect": True}}
    output = skim.parent / f"{name}.parquet"
    build_sets(skim, config, output, pile_up_library=library, pile_up_seed=seed, **options)
    return output


BUILDERS = pytest.mark.parametrize("build", [images, sets])


def test_library_has_all_events_and_their_towers(tmp_path):
    events = minimum_bias()
    paths = [
        write_delphes(tmp_path / "a.root", events[:5]),
        write_delphes(tmp_path / "b.root", events[5:]),
    ]
    for chunk_events in (3, 1000):
        build_library(paths, tmp_path / "library.parquet", chunk_events)
        table = pq.read_table(tmp_path / "library.parquet")
        assert table["event_id"].to_pylist() == [*range(5), *(2**32 + i for i in range(7))]
        for place, name in enumerate(("tower_et", "tower_eta", "tower_phi")):
            assert table.schema.field(name).type == pa.list_(pa.float32())
            expected = [[np.float32(tower[place]) for tower in event.towers] for event in events]
            assert table[name].to_pylist() == expected


def test_library_of_real_delphes_files(tmp_path, delphes_files):
    files = [delphes_files["ggf_hinv"], delphes_files["vbf_hinv"]]
    build_library(files, tmp_path / "library.parquet", chunk_events=70)
    table = pq.read_table(tmp_path / "library.parquet")
    assert len(table) == 600
    lengths = [ak.num(ak.from_arrow(table[f"tower_{name}"])) for name in ("et", "eta", "phi")]
    assert ak.all(lengths[0] == lengths[1])
    assert ak.all(lengths[0] == lengths[2])


@pytest.mark.parametrize(
    ("events", "drop", "words"),
    [
        ([Event(), Event()], (), ["library.parquet", "no tower in any of the 2 events"]),
        ([Event(towers=[(1, 0, 0)], weight=w) for w in (2, 2, 3)], (), ["m.root", "3 in entry 2", "unweighted"]),
        (minimum_bias(3), ("Tower",), ["m.root", "Tower.", "pile-up"]),
        ([], (), ["m.root", "no events"]),
    ],
    ids=["no towers", "weighted", "no branch", "no events"],
)  # fmt: skip
def test_files_that_make_no_library(tmp_path, events, drop, words):
    path = write_delphes(tmp_path / "m.root", events, drop)
    with pytest.raises(InputError) as error:
        build_library([path], tmp_path / "library.parquet")
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["m.root"]


def test_weights_are_compared_between_files(tmp_path):
    paths = [
        write_delphes(tmp_path / f"{w}.root", [Event(towers=[(1, 0, 0)], weight=w)]) for w in (1, 2)
    ]
    with pytest.raises(InputError, match=r"2\.root: 'Event.Weight' is 2 in entry 0, 1 before"):
        build_library(paths, tmp_path / "library.parquet")


def test_damaged_or_missing_minimum_bias_leaves_no_library(tmp_path):
    good = write_delphes(tmp_path / "good.root", minimum_bias())
    bad = tmp_path / "bad.root"
    bad.write_bytes(good.read_bytes()[:2000])
    for path in (bad, tmp_path / "none.root"):
        with pytest.raises(InputError, match=path.name):
            build_library([good, path], tmp_path / "library.parquet")
    assert not list(tmp_path.glob("*.parquet"))
    assert not list(tmp_path.glob(".*"))


def damaged_libraries(folder, library):
    table = pq.read_table(library)
    pq.write_table(table[:0], folder / "empty.parquet")
    yield folder / "empty.parquet", "no minimum-bias events"
    pq.write_table(table.drop_columns("tower_phi"), folder / "lacking.parquet")
    yield folder / "lacking.parquet", "tower_phi"
    (folder / "short.parquet").write_bytes(library.read_bytes()[:-30])
    yield folder / "short.parquet", "not readable as Parquet"
    whole = bytearray(library.read_bytes())
    whole[4:-600] = b"x" * (len(whole) - 604)
    (folder / "spoilt.parquet").write_bytes(whole)
    yield folder / "spoilt.parquet", ""
    yield folder / "none.parquet", "not readable as Parquet"


def test_damaged_libraries_are_named_in_one_line(tmp_path, library, skim):
    for path, words in damaged_libraries(tmp_path, library):
        with pytest.raises(InputError) as error:
            images(skim, "i", path, 20)
        assert str(error.value).startswith(str(path))
        assert words in str(error.value)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "i.parquet").exists()


@pytest.mark.parametrize("mean", [-1, np.nan, np.inf])
def test_mean_that_is_none(library, mean):
    with pytest.raises(ConfigError, match=r"pile_up\.mean"):
        PileUp(library, mean, 1)


@BUILDERS
def test_pile_up_without_library_or_seed_is_refused(skim, library, build):
    for options in ({"library": None}, {"library": library, "seed": None}):
        with pytest.raises(ConfigError, match="'minbias' is configured"):
            build(skim, "x", mean=20, **options)


@pytest.mark.parametrize("mean", [0.3, 20, 200.5])
def test_number_of_overlaid_events_is_poisson_distributed(library, mean):
    counts = PileUp(library, mean, 11).counts(MANY)
    n = len(MANY)
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / n))
    # Var(s²) of a Poisson sample is (μ + 2 μ²) / n to leading order.
    spread = np.sqrt((mean + 2 * mean**2) / n)
    assert counts.var(ddof=1) == pytest.approx(mean, abs=4 * spread)
    edges = np.unique(stats.poisson.ppf(np.linspace(0.02, 0.98, 15), mean))
    share = np.diff(stats.poisson.cdf(edges, mean), prepend=0, append=1)
    seen = np.bincount(np.searchsorted(edges, counts), minlength=len(share))
    assert stats.chisquare(seen, share * n).pvalue > 1e-3


def test_library_events_are_drawn_alike_and_with_replacement(library):
    _, et, _, _ = PileUp(library, 20, 11).overlay(MANY[:2000])
    # Every tower has its own E_T, so each is seen as often as its event is drawn.
    seen = np.unique(et, return_counts=True)[1]
    expected = PileUp(library, 20, 11).counts(MANY[:2000]).sum() / N_LIBRARY
    assert len(seen) == N_LIBRARY * (N_LIBRARY - 1) // 2
    by_event = seen[np.cumsum(np.arange(N_LIBRARY - 1))]
    assert np.all(np.abs(by_event - expected) < 4 * np.sqrt(expected))


def test_every_overlaid_event_is_rotated_by_its_own_uniform_phi(one_tower):
    pile_up = PileUp(one_tower, 2, 11)
    rows, _, _, phi = pile_up.overlay(MANY)
    assert np.all((phi >= -np.pi) & (phi < np.pi))
    assert stats.kstest(phi, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    same_event = rows[1:] == rows[:-1]
    difference = (phi[1:] - phi[:-1])[same_event] % (2 * np.pi)
    assert stats.kstest(difference, stats.uniform(0, 2 * np.pi).cdf).pvalue > 1e-3


def test_half_of_the_overlaid_events_are_reflected(one_tower):
    _, _, eta, phi = PileUp(one_tower, 1, 11).overlay(MANY)
    mirrored = eta < 0
    assert set(np.abs(eta)) == {2.0}
    assert mirrored.mean() == pytest.approx(0.5, abs=2 / np.sqrt(len(eta)))
    assert stats.ks_2samp(phi[mirrored], phi[~mirrored]).pvalue > 1e-3
    _, _, eta, _ = PileUp(one_tower, 1, 11, reflect=False).overlay(MANY[:100])
    assert set(eta) == {2.0}


def test_overlaid_event_is_turned_as_a_whole(library):
    table = pq.read_table(library)
    et = ak.flatten(ak.from_arrow(table["tower_et"])).to_numpy()
    eta = ak.flatten(ak.from_arrow(table["tower_eta"])).to_numpy()
    phi = ak.flatten(ak.from_arrow(table["tower_phi"])).to_numpy()
    event = np.repeat(np.arange(N_LIBRARY), np.arange(N_LIBRARY))
    _, drawn_et, drawn_eta, drawn_phi = PileUp(library, 3, 11).overlay(MANY[:50])
    original = np.searchsorted(et, drawn_et)
    turn = (drawn_phi - phi[original]) % (2 * np.pi)
    sign = drawn_eta / eta[original]
    starts = np.flatnonzero(np.diff(original, prepend=-2) != 1)
    starts = np.union1d(starts, np.flatnonzero(np.diff(event[original], prepend=-1)))
    assert len(starts) > 50
    for whole in np.split(np.arange(len(original)), starts)[1:]:
        expected = np.flatnonzero(event == event[original[whole[0]]])
        assert np.array_equal(original[whole], expected)
        np.testing.assert_allclose(np.exp(1j * turn[whole]), np.exp(1j * turn[whole[0]]))
        assert set(sign[whole]) in ({1.0}, {-1.0})


def by_event(pile_up, event_id):
    rows, *values = pile_up.overlay(event_id)
    splits = np.searchsorted(rows, np.arange(1, len(event_id)))
    return {
        int(event): [part.tolist() for part in parts]
        for event, *parts in zip(event_id, *(np.split(v, splits) for v in values), strict=True)
    }


def test_an_event_keeps_its_overlay_in_any_company(library):
    pile_up = PileUp(library, 20, 11)
    together = by_event(pile_up, MANY[:30])
    assert by_event(pile_up, MANY[:30][::-1]) == together
    assert by_event(PileUp(library, 20, 11), MANY[7:8]) == {int(MANY[7]): together[int(MANY[7])]}
    assert len({str(towers) for towers in together.values()}) == 30


def test_another_seed_gives_another_overlay(library):
    counts = [PileUp(library, 20, seed).counts(MANY) for seed in (11, 12)]
    assert abs(np.corrcoef(counts)[0, 1]) < 4 / np.sqrt(len(MANY))
    overlays = [by_event(PileUp(library, 20, seed), MANY[:30]) for seed in (11, 12)]
    assert all(overlays[0][event] != overlays[1][event] for event in overlays[0])


def test_a_larger_mean_adds_to_what_is_there(library):
    less, more = (by_event(PileUp(library, mean, 11), MANY[:30]) for mean in (5, 8))
    for event, (et, *_) in less.items():
        assert more[event][0][: len(et)] == et
    assert more != less


def test_pixels_add_up_to_hard_event_and_pile_up(skim, library):
    output = images(skim, "i", library, 20)
    table = pq.read_table(output)
    hard = pq.read_table(skim)
    assert table["event_id"].equals(hard["event_id"])
    rows, et, _, _ = PileUp(library, 20, 7).overlay(hard["event_id"].to_numpy())
    overlaid = np.bincount(rows, weights=et, minlength=len(hard))
    assert np.all(overlaid > 0)
    for i, pixels in enumerate(table["value"].to_pylist()):
        # Multiples of 1/8 GeV: no rounding anywhere.
        assert sum(pixels) == sum(hard["tower_et"][i].as_py()) + overlaid[i]


def test_image_is_a_histogram_in_the_frame_of_the_hard_event(skim, library):
    made, _ = SparseImages.read([images(skim, "i", library, 20)])
    dense = made.dense(torch.arange(len(made)))[:, 0].numpy()
    hard = pq.read_table(skim)
    rows, *overlaid = PileUp(library, 20, 7).overlay(hard["event_id"].to_numpy())
    for i in (0, 5, 39):
        own = [hard[f"tower_{name}"][i].as_py() for name in ("et", "eta", "phi")]
        et, eta, phi = (np.append(a, b[rows == i]) for a, b in zip(own, overlaid, strict=True))
        sign = np.sign(hard["jet_eta"][i].as_py()[0])
        turned = np.angle(np.exp(1j * (phi - hard["jet_phi"][i].as_py()[0])))
        expected, *_ = np.histogram2d(
            sign * eta, turned, bins=(20, 16), range=((-5, 5), (-np.pi, np.pi)), weights=et
        )
        np.testing.assert_allclose(dense[i], expected, atol=1e-9)


def test_overlaid_towers_compete_for_the_set_and_tracks_stay(skim, library):
    without = pq.read_table(sets(skim, "a")).to_pylist()
    with_pile_up = pq.read_table(sets(skim, "b", library, 20)).to_pylist()
    hard = pq.read_table(skim)
    rows, et, eta, _ = PileUp(library, 20, 7).overlay(hard["event_id"].to_numpy())
    for i, (plain, piled) in enumerate(zip(without, with_pile_up, strict=True)):
        tracks = [np.array(event["kind"]) == 1 for event in (plain, piled)]
        for name in ("pt", "eta", "phi"):
            assert (np.array(plain[name])[tracks[0]] == np.array(piled[name])[tracks[1]]).all()
        towers = np.append(hard["tower_et"][i].as_py(), et[rows == i])
        towers_eta = np.append(hard["tower_eta"][i].as_py(), eta[rows == i])
        order = np.argsort(-towers, kind="stable")[:30]
        assert np.array(piled["pt"])[~tracks[1]].tolist() == towers[order].tolist()
        sign = np.sign(hard["jet_eta"][i].as_py()[0])
        np.testing.assert_allclose(
            np.array(piled["eta"])[~tracks[1]], sign * towers_eta[order], rtol=1e-6
        )


@BUILDERS
def test_batches_do_not_change_the_result(skim, library, build, monkeypatch):
    whole = pq.read_table(build(skim, "a", library, 20))
    assert pq.read_table(build(skim, "b", library, 20, batch_events=7)).equals(whole)
    monkeypatch.setattr(module, "TOWERS_IN_MEMORY", 250)
    small = build(skim, "c", library, 20)
    assert pq.ParquetFile(small).num_row_groups == 20
    assert pq.read_table(small).equals(whole)


@BUILDERS
def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(skim, library, build):
    first = build(skim, "a", library, 20).read_bytes()
    assert build(skim, "b", library, 20).read_bytes() == first
    assert build(skim, "c", library, 20, seed=8).read_bytes() != first


@BUILDERS
def test_zero_mean_is_no_pile_up(skim, library, build):
    assert build(skim, "a", library, 0).read_bytes() == build(skim, "b").read_bytes()


def test_batch_fits_in_memory(library):
    towers = N_LIBRARY * (N_LIBRARY - 1) / 2 / N_LIBRARY
    batch = PileUp(library, 1000, 1).batch_events(5000)
    assert batch == int(module.TOWERS_IN_MEMORY / (1000 * towers)) < 5000
    assert PileUp(library, 20, 1).batch_events(5000) == 5000
    assert PileUp(library, 1e6, 1).batch_events(5000) == 1


def test_in_the_order_of_the_file_the_hard_event_comes_first(skim, library):
    """And pile-up enters the frame of the pT centroid, as everything kept does."""
    config = SET | {"order": "file", "reference": "pt_centroid"}
    with_pile_up = config | {"pile_up": {"library": "minbias", "mean": 30, "reflect": True}}
    build_sets(skim, config, skim.parent / "hard.parquet")
    build_sets(
        skim, with_pile_up, skim.parent / "both.parquet", pile_up_library=library, pile_up_seed=7
    )
    hard, both = (
        pq.read_table(skim.parent / f"{name}.parquet").to_pylist() for name in ("hard", "both")
    )
    moved = 0
    for one, other in zip(hard, both, strict=True):
        n_hard = one["kind"].count(0)
        assert other["kind"].count(0) == SET["max_towers"]
        assert other["pt"][:n_hard] == one["pt"][:n_hard]
        moved += not np.allclose(one["phi"][:n_hard], other["phi"][:n_hard], atol=1e-5)
    assert moved > 20
