import numpy as np
import pandas as pd
import pytest
import yaml

from cwolaflow.errors import ConfigError
from cwolaflow.plotting.reweighting import reweighting_closure
from cwolaflow.selection.reweighting import (
    WeightTable,
    apply_reweighting,
    load_weight_table,
    reweight,
    unweight,
)

CONTENT = {
    "source": "made up for this test",
    "variable": "missing_et",
    "edges": [200, 300, 400, 600],
    "weights": [1.0, 0.5, 0.2],
}
TABLE = WeightTable(
    "made up", "missing_et", np.array([200.0, 300, 400, 600]), np.array([1.0, 0.5, 0.2])
)
PROCESSES = {"ggf": {"role": "signal", "label": "ggF", "colour": "#e42536"}}


def spectrum(n=3000, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "sample": "ggf_a",
            "process": "ggf",
            "weight_fb": 0.25,
            "missing_et": 200 + rng.exponential(120, n),
        }
    )


def write(path, **change):
    path.write_text(yaml.safe_dump(CONTENT | change))
    return path


def settings(path, unweighted=False):
    return {"name": "binned", "table": str(path), "unweight": unweighted}


def histogram(events):
    edges = [0, 300, 400, 1e9]
    return np.histogram(events["missing_et"], edges, weights=events["weight_fb"])[0]


def test_each_bin_gets_its_weight_and_outsiders_that_of_the_edge():
    events = pd.DataFrame({"missing_et": [150.0, 200, 299.9, 300, 399.9, 400, 599, 700]})
    assert reweight(events, TABLE).tolist() == [1, 1, 1, 0.5, 0.5, 0.2, 0.2, 0.2]


def test_reweighting_closes_on_a_spectrum(tmp_path):
    events = spectrum()
    after = apply_reweighting(events, settings(write(tmp_path / "w.yaml")), 1)
    np.testing.assert_allclose(histogram(after) / histogram(events), [1, 0.5, 0.2], rtol=1e-12)
    assert after["missing_et"].equals(events["missing_et"])
    assert (events["weight_fb"] == 0.25).all()


def test_unweighting_keeps_equal_weights_and_the_share_of_each_bin(tmp_path):
    events = spectrum()
    path = write(tmp_path / "w.yaml")
    after = apply_reweighting(events, settings(path, True), 1)
    assert set(after["weight_fb"]) == {0.0, 0.25}
    counts = histogram(events) / 0.25
    kept = histogram(after) / 0.25
    # Not more than a rounding away in any bin.
    assert (np.abs(kept - counts * [1, 0.5, 0.2]) <= 1).all()
    again = apply_reweighting(events, settings(path, True), 1)
    assert after.equals(again)
    assert not after.equals(apply_reweighting(events, settings(path, True), 2))


def test_unweighting_is_unbiased_event_by_event():
    events = spectrum(203)
    weights = reweight(events, TABLE)
    draws = np.array([unweight(events, TABLE, seed) for seed in range(3000)])
    error = np.sqrt(weights * (1 - weights) / len(draws))
    assert (np.abs(draws.mean(0) - weights) <= 5 * error + 1e-12).all()
    # Sums vary by the rounding of each bin alone, unlike those of independent draws.
    assert draws.sum(1).std() < 1


def test_unweighting_takes_the_largest_weight_that_an_event_has():
    events = pd.DataFrame({"missing_et": np.repeat([350.0, 500.0], [10, 10])})
    factor = unweight(events, TABLE, 1)
    assert (factor[:10] == 0.5).all()
    assert sorted(factor[10:]) == [0.0] * 6 + [0.5] * 4
    assert unweight(events.iloc[:0], TABLE, 1).shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"edges": [200, 300, 300, 600]}, "not ascending"),
        ({"weights": [1.0, 0.5]}, "2 'weights' for 3 bins"),
        ({"weights": [1.0, -0.5, 0.2]}, "must not be negative"),
        ({"weights": [0, 0, 0]}, "nor all be 0"),
        ({"weights": ["a", 1, 2]}, "no lists of numbers"),
        ({"source": ""}, "'source' is ''"),
        ({"unit": "GeV"}, "give just"),
    ],
)
def test_bad_tables_are_refused(tmp_path, change, words):
    path = write(tmp_path / "w.yaml", **change)
    with pytest.raises(ConfigError, match=words) as error:
        load_weight_table(path)
    assert str(path) in str(error.value)


def test_a_variable_that_is_not_there(tmp_path):
    path = write(tmp_path / "w.yaml", variable="pt_h")
    with pytest.raises(ConfigError, match="no column 'pt_h'"):
        apply_reweighting(spectrum(5), settings(path), 1)
    with pytest.raises(ConfigError, match="'cubic' is unknown"):
        apply_reweighting(spectrum(5), settings(path) | {"name": "cubic"}, 1)


def test_the_closure_figure_shows_the_ratio_and_the_table(tmp_path):
    events = spectrum()
    after = apply_reweighting(events, settings(write(tmp_path / "w.yaml")), 1)
    upper, lower = reweighting_closure(events, after, TABLE, PROCESSES, sqrt_s_tev=13).axes
    points = lower.containers[0][0].get_ydata()
    np.testing.assert_allclose(points, TABLE.weights)
    assert "GeV" in lower.get_xlabel()
    before = upper.patches[0].get_data()[0] * np.diff(TABLE.edges)
    np.testing.assert_allclose(before.sum(), events["weight_fb"].sum())
