import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from published_events import darken, image, preprocess, random_events, standardise
from toys import write_skim

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.representation.build_sets import build_sets
from cwolaflow.representation.rendering import RenderedImages, standardise_images

torch.set_num_threads(1)

SET = {
    "reference": "pt_centroid",
    "order": "file",
    "max_towers": 250,
    "max_tracks": 150,
    "decay_products": {"photons": 2},
}
IMAGE = {"eta_bins": 40, "phi_bins": 40, "eta_range": [-5, 5]}


def inputs(events, decay_products="with", **options):
    """Rendered images of events, each a list of (pt, eta, phi, kind)."""
    offsets = np.cumsum([0, *map(len, events)])
    flat = [particle for event in events for particle in event]
    pt, eta, phi = np.array([p[:3] for p in flat], np.float32).reshape(-1, 3).T
    columns = {"pt": pt, "eta": eta, "phi": phi, "kind": np.array([p[3] for p in flat], np.int8)}
    return RenderedImages(offsets, columns, decay_products, **(IMAGE | options))


def render(events, *args, **options):
    return inputs(events, *args, **options).batch(torch.arange(len(events)))[0].numpy()


def lit(pixels):
    return {tuple(map(int, place)): float(pixels[tuple(place)]) for place in np.argwhere(pixels)}


def test_pixels_by_hand():
    event = [
        (1.0, -5.0, -np.pi, 0),
        (2.0, 0.0, 0.0, 0),
        (4.0, 0.24, 0.15, 0),  # 0.25 × 0.157 is one pixel
        (8.0, 0.26, 0.15, 1),
        (16.0, 5.0, 3.14, 2),
    ]
    pixels = render([[], event], standardise="none")
    assert pixels.shape == (2, 3, 40, 40)
    assert pixels.dtype == np.float32
    assert lit(pixels[0]) == {}
    expected = {(0, 0, 0): 1, (0, 20, 20): 6, (1, 21, 20): 8, (2, 39, 39): 16}
    assert lit(pixels[1]) == expected


@pytest.mark.parametrize("decay_products", ["with", "without"])
@pytest.mark.parametrize("out_of_range", ["clip", "drop"])
def test_as_published_event_by_event(tmp_path, decay_products, out_of_range):
    skims, events = random_events(80, 6)
    write_skim(tmp_path / "skim.parquet", skims)
    build_sets(tmp_path / "skim.parquet", SET, tmp_path / "s.parquet")
    images, event_id = RenderedImages.read(
        [tmp_path / "s.parquet"],
        decay_products=decay_products,
        out_of_range=out_of_range,
        **IMAGE,
    )
    assert event_id.tolist() == list(range(100, 180))
    chosen = torch.tensor([7, 3, 3, 79, *range(80)])
    (got,) = images.batch(chosen)
    assert got.shape[1:] == images.input_shape == ((3 if decay_products == "with" else 2), 40, 40)
    for number, pixels in zip(chosen.tolist(), got.numpy(), strict=True):
        expected = image(preprocess(events[number], 402), is_clipped=out_of_range == "clip")
        if decay_products == "without":
            expected = darken(expected)
        np.testing.assert_allclose(pixels, standardise(expected), atol=1e-4)


def test_every_channel_is_standardised_over_all_its_pixels():
    _, events = random_events(30, 7)
    pixels = render(events, "without").astype(np.float64)
    np.testing.assert_allclose(pixels.mean(axis=(2, 3)), 0, atol=1e-6)
    deviations = pixels.std(axis=(2, 3))
    is_dark = np.isclose(deviations, 0)
    np.testing.assert_allclose(deviations[~is_dark], 1, atol=1e-5)
    assert not is_dark.all()


def test_dark_and_even_channels_become_zero():
    images = np.zeros((1, 2, 4, 4))
    images[0, 1] = 7
    assert (standardise_images(images) == 0).all()


def test_pixels_around_decay_products_go_dark_and_no_others():
    photon = (50.0, 1.01, 1.0, 2)
    same_pixel, beside = (9.0, 1.24, 0.95, 0), (5.0, 0.99, 1.0, 1)
    soft = (0.0, -1.0, 0.0, 2)  # a decay product without pT lights no pixel
    under_soft = (3.0, -1.0, 0.0, 0)
    event = [photon, same_pixel, beside, soft, under_soft]
    shown = lit(render([event], "with", standardise="none")[0])
    left = lit(render([event], "without", standardise="none")[0])
    assert left == {key: e for key, e in shown.items() if key[0] < 2 and e != 9}
    assert sorted(left.values()) == [3, 5]


def test_the_same_event_in_any_order_and_batch():
    _, events = random_events(10, 8)
    whole = render(events, "without")
    for number, event in enumerate(events):
        np.testing.assert_array_equal(render([event], "without")[0], whole[number])
        np.testing.assert_allclose(render([event[::-1]], "without")[0], whole[number], atol=1e-5)


PARTICLE = st.tuples(
    st.floats(0, 1e4, width=32),
    st.floats(-8, 8, width=32),
    st.sampled_from([-np.pi, np.pi, 0.0, 3.1415925]) | st.floats(-3.125, 3.125, width=32),
    st.integers(0, 2),
)


@given(st.lists(st.lists(PARTICLE, max_size=5), min_size=1, max_size=4))
def test_no_momentum_is_lost(events):
    pixels = render(events, standardise="none")
    for event, got in zip(events, pixels, strict=True):
        for kind in range(3):
            total = sum(np.float32(p[0]) for p in event if p[3] == kind)
            assert got[kind].sum(dtype=float) == pytest.approx(total, rel=1e-5)
    assert np.isfinite(render(events, "without")).all()


def test_a_set_without_decay_products_has_two_channels():
    images = inputs([[(1, 0, 0, 0), (2, 0, 0, 1)]], None, standardise="none")
    assert images.input_shape == (2, 40, 40)
    assert images.batch(torch.tensor([0]))[0].sum() == 3


def test_unknown_options():
    for change in ({"out_of_range": "wrap"}, {"standardise": "pixel"}):
        with pytest.raises(ConfigError, match=next(iter(change.values()))):
            inputs([], **change)
    with pytest.raises(InputError, match="decay_products"):
        inputs([[(1, 0, 0, 2)]], None)
