import numpy as np
import pytest

from cwolaflow.errors import InputError
from cwolaflow.normalisation import (
    cutflow_table,
    events_per_fb,
    weights_fb,
    with_generated_cross_section,
)
from cwolaflow.production.provenance import SAME_IN_ALL_PARTS

SAMPLE = {
    "sample": "z",
    "process": "z_qcd",
    "cross_section_pb": 32.4,
    "k_factor": 1.5,
    "branching_fraction": 0.2,
    "filter_efficiency": 0.1,
}


def test_events_per_fb_by_hand():
    # 32.4 pb = 32,400 fb; × 1.5 × 0.2 × 0.1 = 972 events per fb⁻¹.
    assert events_per_fb(SAMPLE) == pytest.approx(972)


def test_all_events_together_make_the_cross_section():
    weight = np.random.default_rng(1).normal(1, 2, 1000)
    assert np.any(weight < 0)
    result = weights_fb(weight, weight.sum(), SAMPLE)
    assert result.sum() == pytest.approx(972)
    np.testing.assert_allclose(result / result[0], weight / weight[0])


def test_a_selection_makes_its_share():
    result = weights_fb(np.array([2.0, -1.0, 3.0], dtype=np.float32), 16.0, SAMPLE)
    np.testing.assert_allclose(result, [972 / 8, -972 / 16, 972 * 3 / 16])


@pytest.mark.parametrize("total", [0.0, -1.0, float("nan")])
def test_weights_that_cannot_be_normalised(total):
    with pytest.raises(InputError, match="sample z: its event weights sum to"):
        weights_fb(np.ones(2), total, SAMPLE)


def test_cutflow_table_by_hand():
    cutflow = {
        "events": 100,
        "sum_of_weights": 200.0,
        "cuts": [
            {"cut": "all", "events": 100, "sum_of_weights": 200.0},
            {"cut": "jet_pt", "events": 60, "sum_of_weights": 150.0},
            {"cut": "met", "events": 10, "sum_of_weights": 15.0},
            {"cut": "veto", "events": 0, "sum_of_weights": 0.0},
            {"cut": "m_jj", "events": 0, "sum_of_weights": 0.0},
        ],
    }
    table = cutflow_table(SAMPLE, cutflow)
    assert table.columns.tolist() == ["sample", "cut", "events", "weighted_fb", "efficiency"]
    assert table["sample"].tolist() == ["z"] * 5
    assert table["cut"].tolist() == ["all", "jet_pt", "met", "veto", "m_jj"]
    assert table["events"].tolist() == [100, 60, 10, 0, 0]
    np.testing.assert_allclose(table["weighted_fb"], [972, 729, 72.9, 0, 0])
    np.testing.assert_allclose(table["efficiency"], [1, 0.75, 0.1, 0, np.nan])


def test_generated_cross_section_is_the_mean_over_what_was_tried():
    alike = dict.fromkeys(SAME_IN_ALL_PARTS, "x") | {"sigma_error_pb": 0.1}
    parts = [
        alike | {"seed": 1, "events": 10, "accepted": 10, "tried": 100, "sigma_pb": 4.0},
        alike | {"seed": 2, "events": 30, "accepted": 50, "tried": 300, "sigma_pb": 2.0},
    ]
    row = {"sample": "z", "process": "z_qcd", "cross_section_pb": None, "k_factor": 1.2}
    assert with_generated_cross_section(row, parts) == row | {"cross_section_pb": 2.5}
    # A cross section of the table is that of all 400 events; 60 of them are there.
    row |= {"cross_section_pb": 54.67, "branching_fraction": 2.27e-3, "filter_efficiency": 1.0}
    completed = with_generated_cross_section(row, parts)
    assert completed == row | {"filter_efficiency": 0.15}
    assert events_per_fb(completed) == pytest.approx(54670 * 1.2 * 2.27e-3 * 60 / 400)
