from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import uproot
from toys import write_skim

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.representation.build_images import build_images, detector_frame_averages
from cwolaflow.representation.images import SparseImages, pixel_index

torch.set_num_threads(1)

DELPHES = Path(__file__).parents[1] / "data" / "delphes" / "vbf_hinv.root"
CONFIG = {
    "reference": "leading_jet",
    "eta_bins": 59,
    "phi_bins": 37,
    "eta_range": [-5, 5],
    "phi_padding": 4,
}


def wrapped(phi):
    return np.arctan2(np.sin(phi), np.cos(phi))


@pytest.fixture(scope="module")
def towers():
    """Towers, leading jets and missing momenta of real Delphes events with a jet."""
    names = ["Tower.ET", "Tower.Eta", "Tower.Phi", "Jet.Eta", "Jet.Phi", "MissingET.Phi"]
    with uproot.open(DELPHES) as file:
        arrays = file["Delphes"].arrays(names)
    return arrays[ak.num(arrays["Jet.Eta"]) > 0]


def build(folder, towers, config=CONFIG, rotate=0.0, mirror=1, **options):
    def turned(phi):
        return wrapped(np.asarray(phi, np.float64) + rotate)

    skim = [
        {
            "jet_eta": mirror * np.asarray(event["Jet.Eta"]),
            "jet_phi": turned(event["Jet.Phi"]),
            "missing_et_phi": turned(event["MissingET.Phi"])[0],
            "tower_et": np.asarray(event["Tower.ET"]),
            "tower_eta": mirror * np.asarray(event["Tower.Eta"]),
            "tower_phi": turned(event["Tower.Phi"]),
        }
        for event in towers
    ]
    folder.mkdir(exist_ok=True)
    write_skim(folder / "skim.parquet", skim)
    build_images(folder / "skim.parquet", config, folder / "i.parquet", **options)
    return SparseImages.read([folder / "i.parquet"])[0]


def all_of(images):
    return images.dense(torch.arange(len(images)), torch.float64)


def one_event(folder, tower_et, tower_eta, tower_phi, jet_eta, jet_phi, met_phi=0.0, **change):
    event = {"tower_et": tower_et, "tower_eta": tower_eta, "tower_phi": tower_phi}
    event |= {"jet_eta": [jet_eta, 2.0], "jet_phi": [jet_phi, 0.5], "missing_et_phi": met_phi}
    write_skim(folder / "skim.parquet", [event])
    build_images(folder / "skim.parquet", CONFIG | change, folder / "i.parquet")
    return all_of(SparseImages.read([folder / "i.parquet"])[0])[0, 0]


def test_tower_computed_by_hand(tmp_path):
    # Δφ = -3 - 3 + 2π = 0.2832 → (0.2832 + π) / 2π · 37 = 20.2; η → 2: 7 / 10 · 59 = 41.3.
    image = one_event(tmp_path, [12.5], [-2.0], [-3.0], jet_eta=-1.0, jet_phi=3.0)
    assert image.shape == (59, 45)
    assert image[41, 4 + 20] == 12.5
    assert image.sum() == 12.5


def test_missing_momentum_as_reference_still_reflects_by_the_jet(tmp_path):
    image = one_event(
        tmp_path, [7.0], [-2.0], [1.0], -1.0, 3.0, met_phi=1.0, reference="missing_et"
    )
    assert image[41, 4 + 18] == 7.0


def test_towers_of_a_pixel_add_up_and_a_jet_at_eta_zero_is_not_mirrored(tmp_path):
    image = one_event(tmp_path, [1.0, 2.0, 4.0], [1.0, 1.01, -1.0], [0.0, 0.01, 0.0], 0.0, 0.0)
    assert image[int(6.0 * 5.9), 4 + 18] == 3.0
    assert image[int(4.0 * 5.9), 4 + 18] == 4.0


def test_edges():
    eta = np.array([-5, 5, -5.001, 5.001, 0, 0])
    phi = np.array([0, 0, 0, 0, -np.pi, np.nextafter(np.pi, 0)])
    expected = [18, 58 * 37 + 18, -1, -1, 29 * 37, 29 * 37 + 36]
    assert pixel_index(eta, phi, 59, 37, (-5, 5)).tolist() == expected


def test_towers_out_of_range_are_dropped(tmp_path):
    image = one_event(tmp_path, [1.0, 2.0], [4.9, 5.2], [0.0, 0.0], 1.0, 0.0)
    assert image.sum() == 1.0


@pytest.mark.parametrize("reference", ["leading_jet", "missing_et"])
def test_pixels_of_real_events_add_up_to_the_transverse_energy(tmp_path, towers, reference):
    images = build(tmp_path, towers, CONFIG | {"reference": reference})
    unpadded = all_of(images)[..., 4:41]
    expected = ak.to_numpy(ak.sum(towers["Tower.ET"], axis=1))
    np.testing.assert_allclose(unpadded.sum((1, 2, 3)), expected, rtol=1e-6)


def test_dense_image_is_a_two_dimensional_histogram(tmp_path, towers):
    unpadded = all_of(build(tmp_path, towers))[:, 0, :, 4:41].numpy()
    for i in (0, 17, len(towers) - 1):
        sign = np.sign(towers["Jet.Eta"][i, 0])
        expected, *_ = np.histogram2d(
            sign * towers["Tower.Eta"][i].to_numpy(),
            wrapped(towers["Tower.Phi"][i].to_numpy().astype(float) - towers["Jet.Phi"][i, 0]),
            bins=(59, 37),
            range=((-5, 5), (-np.pi, np.pi)),
            weights=towers["Tower.ET"][i],
        )
        np.testing.assert_allclose(unpadded[i], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rotate", "mirror"), [(1.234, 1), (-2.9, 1), (0.0, -1)])
def test_image_does_not_depend_on_the_orientation_of_the_event(tmp_path, towers, rotate, mirror):
    upright = build(tmp_path / "a", towers[:100])
    turned = build(tmp_path / "b", towers[:100], rotate=rotate, mirror=mirror)
    np.testing.assert_allclose(all_of(upright), all_of(turned), rtol=1e-5)


def test_padding_is_periodic_in_phi(tmp_path, towers):
    images = all_of(build(tmp_path, towers))
    assert images.shape[1:] == (1, 59, 45)
    assert torch.equal(images[..., :4], images[..., 37:41])
    assert torch.equal(images[..., 41:], images[..., 4:8])
    assert images[..., :4].sum() > 0


def test_batches_do_not_change_the_result(tmp_path, towers):
    whole = all_of(build(tmp_path / "a", towers))
    assert torch.equal(whole, all_of(build(tmp_path / "b", towers, batch_events=37)))


def test_any_order_of_events_and_an_event_without_towers(tmp_path):
    jet = {"jet_eta": [1.0], "jet_phi": [0.0]}
    skim = [
        {"tower_et": [float(i)] * n, "tower_eta": [0.5] * n, "tower_phi": [0.0] * n} | jet
        for i, n in ((1, 2), (2, 0), (3, 1))
    ]
    write_skim(tmp_path / "skim.parquet", skim)
    config = CONFIG | {"phi_padding": 0}
    build_images(tmp_path / "skim.parquet", config, tmp_path / "i.parquet")
    images, event_id = SparseImages.read([tmp_path / "i.parquet"] * 2)
    assert event_id.tolist() == [100, 101, 102] * 2
    sums = images.dense(torch.tensor([2, 0, 1, 4, 5])).sum((1, 2, 3))
    assert sums.tolist() == [3, 2, 0, 0, 3]
    file = pq.ParquetFile(tmp_path / "i.parquet")
    assert file.schema_arrow.field("pixel").type.value_type == "int32"


def test_energies_are_the_dense_image_of_one_event(tmp_path):
    first = {"tower_et": [3.0, 2.0], "tower_eta": [0.5, -4.0], "tower_phi": [0.0, -3.1]}
    second = {"tower_et": [7.0], "tower_eta": [1.5], "tower_phi": [3.1]}
    frame = {"jet_eta": [1.0], "jet_phi": [0.0], "missing_et_phi": 0.0}
    write_skim(tmp_path / "skim.parquet", [first | frame, second | frame])
    build_images(tmp_path / "skim.parquet", CONFIG, tmp_path / "i.parquet")
    images, _ = SparseImages.read([tmp_path / "i.parquet"])
    dense = images.dense(torch.tensor([0, 1]))[:, 0].numpy()
    for row in (0, 1):
        np.testing.assert_array_equal(images.energies(row), dense[row], strict=True)
    # A tower at the edge of φ is repeated in the padding of the other one.
    assert images.energies(1).sum() == 14


def test_scale_is_the_root_mean_square_of_lit_pixels(tmp_path):
    one_event(tmp_path, [3.0, 4.0], [0.0, 2.0], [0.0, 0.0], 1.0, 0.0)
    images, _ = SparseImages.read([tmp_path / "i.parquet"])
    scaler = images.fit_scaler(np.array([0]))
    assert scaler["scale"].item() == pytest.approx(np.sqrt(12.5))
    (batch,) = images.scaled(scaler).batch(torch.tensor([0]))
    assert batch.sum().item() == pytest.approx(7 / np.sqrt(12.5))
    assert batch.dtype == torch.float32


def test_event_without_jets(tmp_path):
    event = {"jet_eta": [], "jet_phi": [], "tower_et": [], "tower_eta": [], "tower_phi": []}
    write_skim(tmp_path / "skim.parquet", [event])
    with pytest.raises(InputError, match="no jet"):
        build_images(tmp_path / "skim.parquet", CONFIG, tmp_path / "i.parquet")
    assert not (tmp_path / "i.parquet").exists()


def test_files_that_are_no_image_file_or_of_another_geometry(tmp_path, towers):
    build(tmp_path, towers[:5])
    with pytest.raises(InputError, match="no image file"):
        SparseImages.read([tmp_path / "skim.parquet"])
    first = (tmp_path / "i.parquet").rename(tmp_path / "first.parquet")
    build(tmp_path, towers[:5], CONFIG | {"phi_padding": 8})
    with pytest.raises(InputError, match="geometry differs"):
        SparseImages.read([first, tmp_path / "i.parquet"])
    first.write_bytes(first.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"first\.parquet"):
        SparseImages.read([first])


def test_unknown_reference(tmp_path, towers):
    with pytest.raises(ConfigError, match="sphericity"):
        build(tmp_path, towers[:2], CONFIG | {"reference": "sphericity"})


def test_the_detector_frame_is_neither_rotated_nor_reflected(tmp_path, towers):
    build(tmp_path, towers)
    n = len(towers)
    weights = np.random.default_rng(1).uniform(1, 2, n)
    table = pd.DataFrame({"process": "vbf", "weight_fb": weights})
    found = detector_frame_averages([tmp_path / "skim.parquet"], [table], CONFIG)["vbf"]
    weight = np.repeat(weights, ak.num(towers["Tower.ET"]))
    expected, _, _ = np.histogram2d(
        ak.flatten(towers["Tower.Eta"]).to_numpy(),
        ak.flatten(towers["Tower.Phi"]).to_numpy(),
        bins=(59, 37),
        range=((-5, 5), (-np.pi, np.pi)),
        weights=weight * ak.flatten(towers["Tower.ET"]).to_numpy(),
    )
    np.testing.assert_allclose(found.sum(), expected.sum() / weights.sum(), rtol=1e-6)
    # A tower on an edge may fall to either side by rounding.
    moved = np.abs(found - expected / weights.sum()).sum() / found.sum()
    assert moved < 0.02
    halves = [table.iloc[: n // 2], table]
    with pytest.raises(InputError, match="not the"):
        detector_frame_averages([tmp_path / "skim.parquet"], halves[:1], CONFIG)
    twice = detector_frame_averages([tmp_path / "skim.parquet"] * 2, [table, table], CONFIG)
    np.testing.assert_allclose(twice["vbf"], found)
