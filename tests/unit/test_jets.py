"""Images of the two leading jets: pixels by hand, symmetries, removal, and the network on them."""

import numpy as np
import pandas as pd
import pytest
import torch
from toys import write_skim

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.kinematics import wrap_phi
from cwolaflow.learning.inputs import load_inputs
from cwolaflow.models import EventCNN, build_model, count_parameters, network_scores
from cwolaflow.representation.build_jets import build_jet_images
from cwolaflow.representation.jets import JetImages
from cwolaflow.selection.skim import skim_files

torch.set_num_threads(1)

JETS = {"bins": 5, "half_width": 0.5}  # pixels of 0.2
MODEL = {
    "name": "jet_cnn",
    "filters": [16, 32],
    "residual_blocks": 1,
    "dense": [64],
    "dropout": 0.1,
}
PT = {"tower": "et", "track": "pt", "photon": "pt", "lepton": "pt"}


def event(towers=(), tracks=(), photons=(), leptons=(), jets=((1.0, 0.0), (-2.0, 3.0))):
    """Columns of a skim from directions (η, φ) of jets and (pT, η, φ) of all else."""
    eta, phi = np.array(jets, float).reshape(-1, 2).T
    columns = {"jet_eta": eta, "jet_phi": phi}
    for prefix, particles in zip(PT, (towers, tracks, photons, leptons), strict=True):
        values = np.array(particles, float).reshape(-1, 3).T
        names = (PT[prefix], "eta", "phi")
        columns |= {f"{prefix}_{name}": value for name, value in zip(names, values, strict=True)}
    return columns


def built(folder, events, **config):
    write_skim(folder / "skim.parquet", events)
    build_jet_images(folder / "skim.parquet", JETS | config, folder / "jets.parquet", 70)
    return JetImages.read([folder / "jets.parquet"])[0]


def dense(folder, events, **config):
    images = built(folder, events, **config)
    return images.dense(torch.arange(len(images)))


def lit(images):
    return {tuple(map(int, place)): float(images[tuple(place)]) for place in np.argwhere(images)}


def random_events(n, seed=1):
    """Events with some constituents around each jet, most of them within the square."""
    rng = np.random.default_rng(seed)
    events = []
    for _ in range(n):
        jets = np.stack([rng.uniform(-3, 3, 2), rng.uniform(-np.pi, np.pi, 2)], axis=1)

        def around(count, jets=jets):
            centre = jets[rng.integers(2, size=count)]
            directions = centre + rng.normal(scale=0.25, size=(count, 2))
            pt = rng.exponential(10, count)
            return np.column_stack([pt, directions[:, 0], wrap_phi(directions[:, 1])])

        events.append(event(around(30), around(20), around(2), jets=jets))
    return events


def test_pixels_by_hand(tmp_path):
    constituents = event(
        towers=[
            (1.0, 1.0, 0.0),  # on the axis of the first jet
            (2.0, 1.09, -0.09),  # in the same pixel
            (4.0, 1.25, -0.45),
            (8.0, 1.6, 0.0),  # outside
            (16.0, -2.35, -3.1),  # beside the second jet, Δη = 0.35 outwards, across the seam
        ],
        tracks=[(32.0, 1.0, 0.25), (64.0, -1.7, 3.0), (128.0, 1.0, 3.0)],
    )
    images = dense(tmp_path, [event(), constituents])
    assert images.shape == (2, 2, 2, 5, 5)
    assert images.dtype == np.float32
    assert lit(images[0]) == {}
    # (jet, channel, bin in Δη, bin in Δφ); Δφ = 2π - 6.1 = 0.183 is in the fourth.
    assert lit(images[1]) == {
        (0, 0, 2, 2): 3,
        (0, 0, 3, 0): 4,
        (1, 0, 4, 3): 16,
        (0, 1, 2, 3): 32,
        (1, 1, 1, 2): 64,
    }


@pytest.mark.parametrize("bins", [1, 3, 33])
def test_the_axis_is_the_middle_of_an_odd_number_of_pixels(tmp_path, bins):
    directions = [(1.3, 3.1), (-0.7, -3.1)]
    towers = [(5.0, *directions[0]), (7.0, *directions[1])]
    images = dense(tmp_path, [event(towers, jets=directions)], bins=bins)
    middle = bins // 2
    assert lit(images[0]) == {(0, 0, middle, middle): 5, (1, 0, middle, middle): 7}


@pytest.mark.parametrize("angle", [0.3, 2.0, -3.1, np.pi])
def test_a_rotated_event_has_the_same_images(tmp_path, angle):
    events = random_events(150)
    rotated = [
        {name: wrap_phi(x + angle) if name.endswith("_phi") else x for name, x in columns.items()}
        for columns in events
    ]
    removed = {"removed_decay_products": {"photons": 2}}
    one, other = (dense(tmp_path, kind, **removed) for kind in (events, rotated))
    assert one.sum() > 0
    # Angles are rounded to single precision: few constituents may cross the edge of a pixel.
    assert (np.abs(one - other) > 1e-3).sum() <= 4
    np.testing.assert_allclose(one.sum((3, 4)), other.sum((3, 4)), rtol=1e-5)


def test_an_event_seen_from_the_other_side_has_the_same_images(tmp_path):
    events = random_events(150)
    mirrored = [
        {name: -x if name.endswith("_eta") else x for name, x in columns.items()}
        for columns in events
    ]
    np.testing.assert_array_equal(dense(tmp_path, events), dense(tmp_path, mirrored))


def test_the_order_of_constituents_changes_nothing(tmp_path):
    events = random_events(100)
    reversed_events = [
        {name: x if name.startswith("jet") else x[::-1] for name, x in columns.items()}
        for columns in events
    ]
    removed = {"removed_decay_products": {"photons": 2}}
    one, other = (dense(tmp_path, kind, **removed) for kind in (events, reversed_events))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_lies_around_a_decay_product_is_removed(tmp_path):
    towers = [(1.0, 1.1, 0.0), (2.0, 1.35, 0.0), (4.0, 1.1, 0.1), (8.0, -2.0, 3.0)]
    tracks = [(16.0, 1.2, 0.05)]
    # Of the photons at Δη = 0.1 of each jet, the harder one is a decay product.
    photons = [(20.0, -2.1, 3.0), (60.0, 1.1, 0.01)]
    leptons = [(50.0, 1.3, 0.0)]
    events = [event(towers, tracks, photons, leptons)]
    assert dense(tmp_path, events).sum() == 31
    kept = dense(tmp_path, events, removed_decay_products={"photons": 1})
    assert lit(kept[0]) == {(0, 0, 4, 2): 2, (0, 0, 3, 3): 4, (1, 0, 2, 2): 8}
    assert dense(tmp_path, events, removed_decay_products={"photons": 2}).sum() == 6
    assert dense(tmp_path, events, removed_decay_products={"photons": 1, "leptons": 1}).sum() == 12


def test_batches_are_standardised_jet_by_jet(tmp_path):
    images = built(tmp_path, [event(), *random_events(5)])
    assert images.input_shape == (2, 2, 5, 5)
    (batch,) = images.batch(torch.tensor([3, 0, 3]))
    assert batch.shape == (3, 2, 2, 5, 5)
    assert batch.dtype == torch.float32
    assert torch.equal(batch[0], batch[2])
    assert not batch[1].any()
    flat = batch[0].flatten(2)
    torch.testing.assert_close(flat.mean(2), torch.zeros(2, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(flat.std(2, correction=0), torch.ones(2, 2))


def test_jets_of_real_events_have_their_transverse_momentum(tmp_path, diphoton_files, vbf_ggf):
    skim = tmp_path / "skim.parquet"
    skim_files([diphoton_files["vbf_haa"]], vbf_ggf["skim"], skim)
    config = vbf_ggf["represent"]["jets"]["leading"]
    build_jet_images(skim, config, tmp_path / "jets.parquet")
    images, event_id = JetImages.read([tmp_path / "jets.parquet"])
    table = pd.read_parquet(skim)
    np.testing.assert_array_equal(event_id, table["event_id"])
    towers = images.dense(torch.arange(len(images)))[:, :, 0].sum((2, 3))
    pt = np.stack(table["jet_pt"].map(lambda values: values[:2]))
    # Scaled up to the energy of particles, and of a round jet of R = 0.5.
    ratio = towers / pt
    assert 0.6 < np.median(ratio) < 1.1
    assert np.corrcoef(np.log(towers + 1).ravel(), np.log(pt).ravel())[0, 1] > 0.6


def test_an_event_with_one_jet_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"fewer than 2 jets.*skim.cuts"):
        built(tmp_path, [event(), event(jets=[(0.0, 0.0)])])


def test_other_events_than_those_of_the_table_are_refused(tmp_path):
    built(tmp_path, [event()])
    with pytest.raises(InputError, match=r"jets 'leading'.*make both again"):
        load_inputs(
            {"jets": "leading"}, pd.DataFrame({"event_id": [7]}), [tmp_path / "jets.parquet"]
        )


def test_both_jets_share_one_network():
    shape = (2, 33, 33)
    model = build_model(MODEL, (2, *shape)).eval()
    alone = EventCNN(shape, **{key: value for key, value in MODEL.items() if key != "name"})
    # Normalisation 4, convolutions 304 and 4640, two of a residual block and one more of 9248
    # each, dense layers 2112 and 65.
    assert count_parameters(model) == count_parameters(alone) == 4 + 304 + 4640 + 3 * 9248 + 2177
    alone.load_state_dict(model.network.state_dict())
    images = torch.randn(4, 2, *shape)
    with torch.inference_mode():
        logits = model.jet_logits(images)
        by_jet = torch.cat([alone.eval()(images[:, jet]) for jet in (0, 1)], dim=1)
        torch.testing.assert_close(logits, by_jet)
        torch.testing.assert_close(model(images)[:, 0], by_jet.mean(1))
        torch.testing.assert_close(model(images), model(images.flip(1)))
        torch.testing.assert_close(network_scores(model, images), torch.sigmoid(by_jet))
    with pytest.raises(ConfigError, match="jets"):
        build_model(MODEL, shape)


def test_a_committee_scores_jets_with_the_mean_logit():
    model = build_model(MODEL | {"members": 2}, (2, 2, 33, 33)).eval()
    images = torch.randn(3, 2, 2, 33, 33)
    with torch.inference_mode():
        logits = [member.jet_logits(images) for member in model.members]
        expected = torch.sigmoid((logits[0] + logits[1]) / 2)
        torch.testing.assert_close(network_scores(model, images), expected)
