"""Mean images of particle sets and of the detector, against sums over the particles themselves."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from toys import write_skim

from cwolaflow.errors import InputError
from cwolaflow.kinematics import wrap_phi
from cwolaflow.representation.averages import channel_averages, detector_averages
from cwolaflow.representation.build_sets import build_sets
from cwolaflow.selection.skim import skim_files

IMAGE = {"eta_bins": 40, "phi_bins": 40, "eta_range": [-5, 5]}
WITH = {"set": "constituents", "decay_products": "with", "image": IMAGE}
WITHOUT = WITH | {"decay_products": "without"}
EDGES = np.linspace(-5, 5, 41), np.linspace(-np.pi, np.pi, 41)


def event_table(path, process, weights=None):
    event_id = pq.read_table(path, columns=["event_id"])["event_id"].to_numpy()
    weights = np.ones(len(event_id)) if weights is None else weights
    return pd.DataFrame({"event_id": event_id, "process": process, "weight_fb": weights})


def histogram(eta, phi, pt):
    return np.histogram2d(np.asarray(eta), np.asarray(phi), EDGES, weights=np.asarray(pt))[0]


@pytest.fixture(scope="module")
def real(tmp_path_factory, diphoton_files, vbf_ggf):
    """Skim, set and event table of real VBF events, with weights that differ."""
    folder = tmp_path_factory.mktemp("averages")
    skim, file = folder / "skim.parquet", folder / "set.parquet"
    skim_files([diphoton_files["vbf_haa"]], vbf_ggf["skim"], skim)
    build_sets(skim, vbf_ggf["represent"]["sets"]["constituents"], file)
    count = pq.read_metadata(file).num_rows
    return skim, file, event_table(file, "vbf", np.random.default_rng(1).uniform(1, 3, count))


def particles_of(file):
    """Events of a set as columns of arrays."""
    rows = pq.read_table(file).to_pylist()
    return [{key: np.array(row[key]) for key in ("pt", "eta", "phi", "kind")} for row in rows]


def test_an_average_image_sums_to_the_mean_sum_of_pt(real):
    _, file, table = real
    image = channel_averages([file], [table], WITH)["vbf"]
    assert image.shape == (3, 40, 40)
    sums = [
        [event["pt"][event["kind"] == kind].sum() for kind in range(3)]
        for event in particles_of(file)
    ]
    expected = np.average(sums, axis=0, weights=table["weight_fb"])
    np.testing.assert_allclose(image.sum(axis=(1, 2)), expected, rtol=1e-5)
    # Two photons of a Higgs boson of 125 GeV, and what recoils against it.
    assert 110 < expected[2] < 250


def test_without_decay_products_their_pixels_are_dark_event_by_event(real):
    _, file, table = real
    image = channel_averages([file], [table], WITHOUT)["vbf"]
    assert image.shape == (2, 40, 40)
    events = []
    for event in particles_of(file):
        eta = np.clip(event["eta"], -5, 5)
        channels = [
            histogram(
                *(values[event["kind"] == kind] for values in (eta, event["phi"], event["pt"]))
            )
            for kind in range(3)
        ]
        events.append(np.where(channels[2] > 0, 0, channels[:2]))
    expected = np.average(events, axis=0, weights=table["weight_fb"])
    np.testing.assert_allclose(image, expected, atol=1e-4)
    whole = channel_averages([file], [table], WITH)["vbf"]
    lost = (whole[0] - image[0]).sum()
    # The towers that the photons make are gone, and little else.
    assert lost == pytest.approx(whole[2].sum(), rel=0.1)


def test_the_frame_moves_but_keeps_the_transverse_momentum(real, vbf_ggf):
    skim, file, table = real
    settings = vbf_ggf["represent"]["sets"]["constituents"]
    detector = detector_averages([skim], [table], settings, IMAGE)["vbf"]
    framed = channel_averages([file], [table], WITH)["vbf"]
    # Nothing of these events is truncated but a third photon.
    np.testing.assert_allclose(
        detector[:2].sum(axis=(1, 2)), framed[:2].sum(axis=(1, 2)), rtol=1e-5
    )
    assert detector[2].sum() >= framed[2].sum()
    # The hardest quadrant is at η', φ' > 0; in the detector all four are alike.
    hardest = framed[:, 20:, 20:].sum() / framed.sum()
    assert hardest > 0.4
    assert detector[:, 20:, 20:].sum() / detector.sum() == pytest.approx(0.25, abs=0.05)


def test_the_detector_map_by_hand(tmp_path):
    events = [
        {
            "jet_eta": [1.0],
            "jet_phi": [0.0],
            "tower_et": [10.0, 4.0],
            "tower_eta": [-4.9, 2.1],
            "tower_phi": [-3.1, 3.5],  # beyond π: on the other side
            "track_pt": [3.0],
            "track_eta": [0.1],
            "track_phi": [0.1],
            "photon_pt": [50.0],
            "photon_eta": [1.1],
            "photon_phi": [-1.0],
        },
        {
            "jet_eta": [1.0],
            "jet_phi": [0.0],
            **{f"{name}_{of}": [] for name in ("track", "photon") for of in ("pt", "eta", "phi")},
            "tower_et": [2.0],
            "tower_eta": [2.1],
            "tower_phi": [3.5],
        },
    ]
    write_skim(tmp_path / "skim.parquet", events)
    table = event_table(tmp_path / "skim.parquet", "ggf", np.array([3.0, 1.0]))
    settings = {"decay_products": {"photons": 2}}
    image = detector_averages([tmp_path / "skim.parquet"], [table], settings, IMAGE)["ggf"]
    expected = np.zeros((3, 40, 40))
    expected[0] = histogram(
        [-4.9, 2.1, 2.1],
        wrap_phi(np.array([-3.1, 3.5, 3.5])),
        [0.75 * 10, 0.75 * 4, 0.25 * 2],
    )
    expected[1] = histogram([0.1], [0.1], [0.75 * 3])
    expected[2] = histogram([1.1], [-1.0], [0.75 * 50])
    np.testing.assert_allclose(image, expected, rtol=1e-6)
    assert image[0, 0, 0] == pytest.approx(7.5)
    towers_and_tracks = detector_averages([tmp_path / "skim.parquet"], [table], {}, IMAGE)["ggf"]
    np.testing.assert_array_equal(towers_and_tracks, image[:2])


@pytest.mark.parametrize("source", [WITH, WITHOUT])
def test_averages_do_not_depend_on_the_events_in_memory_or_on_standardisation(real, source):
    _, file, table = real
    whole = channel_averages([file], [table], source)["vbf"]
    few = channel_averages([file], [table], source, batch_events=7)["vbf"]
    np.testing.assert_allclose(few, whole, rtol=1e-10)
    standardised = source | {"image": IMAGE | {"standardise": "event"}}
    np.testing.assert_array_equal(channel_averages([file], [table], standardised)["vbf"], whole)


def test_detector_averages_do_not_depend_on_the_events_in_memory(real, vbf_ggf):
    skim, _, table = real
    settings = vbf_ggf["represent"]["sets"]["constituents"]
    whole = detector_averages([skim], [table], settings, IMAGE)["vbf"]
    few = detector_averages([skim], [table], settings, IMAGE, batch_events=7)["vbf"]
    np.testing.assert_allclose(few, whole, rtol=1e-10)


def test_samples_of_a_process_are_averaged_together_by_weight(real):
    _, file, table = real
    heavy = table.assign(weight_fb=3 * table["weight_fb"], process="vbf")
    dark = table.assign(weight_fb=0.0)
    once = channel_averages([file], [table], WITH)["vbf"]
    np.testing.assert_allclose(
        channel_averages([file] * 3, [table, heavy, dark], WITH)["vbf"], once, rtol=1e-10
    )
    first = table.assign(weight_fb=np.r_[1.0, np.zeros(len(table) - 1)])
    two = channel_averages([file, file], [table, first.assign(process="ggf")], WITH)
    assert list(two) == ["vbf", "ggf"]
    event = particles_of(file)[0]
    assert two["ggf"].sum() == pytest.approx(event["pt"].sum(), rel=1e-5)


def test_other_events_than_those_of_the_table_are_refused(real, vbf_ggf):
    skim, file, table = real
    settings = vbf_ggf["represent"]["sets"]["constituents"]
    for wrong in (table[::-1], table[:-1], pd.concat([table, table[:1]])):
        with pytest.raises(InputError, match="event table"):
            channel_averages([file], [wrong], WITH)
        with pytest.raises(InputError, match="event table"):
            detector_averages([skim], [wrong], settings, IMAGE)
    with pytest.raises(InputError, match="no column"):
        channel_averages([skim], [table], WITH)
