import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import ks_2samp, norm

from cwolaflow.errors import InputError, StatisticsError
from cwolaflow.learning.discrimination import (
    correlation_table,
    equal_share_edges,
    kolmogorov_smirnov,
    overtraining,
    separation,
    separation_table,
    weighted_correlation,
)


def gaussians(shift, n, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, n), rng.normal(0, 1, n)


def integral_separation(shift):
    def integrand(x):
        s, b = norm.pdf(x, shift), norm.pdf(x)
        return 0.5 * (s - b) ** 2 / (s + b)

    return quad(integrand, -10, 10 + shift, points=[0, shift / 2, shift])[0]


@pytest.mark.parametrize("shift", [0.3, 1.0, 2.0])
def test_separation_of_two_gaussians(shift):
    s, b = gaussians(shift, 200_000)
    value, error, _ = separation(s, np.ones(len(s)), b, np.ones(len(b)), bins=100)
    assert value == pytest.approx(integral_separation(shift), rel=0.01, abs=4 * error)


def test_separation_by_hand():
    s, b = np.array([0.0, 0, 0, 1]), np.array([0.0, 1, 1, 1])
    value, _, _ = separation(s, np.ones(4), b, np.ones(4), bins=2)
    assert value == pytest.approx(0.25)


def test_separation_is_nothing_for_equal_and_one_for_apart():
    x = np.arange(100.0)
    w = np.ones(100)
    assert separation(x, w, x, w)[0] == pytest.approx(0)
    assert separation(x, w, x + 200, w, bins=20)[0] == pytest.approx(1)


def test_separation_ignores_scale_of_weights_and_monotonic_maps():
    s, b = gaussians(1.0, 3000)
    rng = np.random.default_rng(2)
    ws, wb = rng.uniform(0.5, 2, 3000), rng.uniform(0.5, 2, 3000)
    plain = separation(s, ws, b, wb)
    assert separation(s, 7 * ws, b, 0.1 * wb) == pytest.approx(plain)
    assert separation(np.exp(s), ws, np.exp(b), wb) == pytest.approx(plain)
    assert separation(b, wb, s, ws) == pytest.approx(plain)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_separation_error_and_noise_are_those_of_repetitions(shift):
    n = 1500
    found = np.array(
        [
            separation(s, np.ones(n), b, np.ones(n), 25)
            for s, b in (gaussians(shift, n, seed) for seed in range(200))
        ]
    )
    if shift:
        assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.2)
    else:
        assert found[:, 2].mean() == pytest.approx(found[:, 0].mean(), rel=0.1)


def test_separation_needs_both_classes():
    with pytest.raises(StatisticsError, match="class has no event"):
        separation(np.ones(2), np.zeros(2), np.ones(2), np.ones(2))


def test_bins_hold_equal_shares():
    x = np.random.default_rng(1).exponential(size=1000)
    edges = equal_share_edges(x, np.ones(1000), 10)
    assert np.histogram(x, [-1, *edges, 1e9])[0].tolist() == [100] * 10
    assert len(equal_share_edges(np.array([1.0, 1, 1, 2]), np.ones(4), 10)) == 1


def table(n=4000, seed=1):
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], n)
    covariance = {1: [[4, 1.2], [1.2, 1]], 0: [[4, -0.6], [-0.6, 1]]}
    values = np.concatenate(
        [rng.multivariate_normal([label_, 0], covariance[label_], n) for label_ in (1, 0)]
    )
    return pd.DataFrame(
        {
            "event_id": np.arange(2 * n),
            "label": label,
            "weight_fb": rng.uniform(1, 2, 2 * n),
            "a": values[:, 0],
            "b": values[:, 1],
        }
    )


def test_correlations_of_known_covariance_by_class():
    events = table()
    scores = {"net": events[["event_id"]].assign(score=-events["a"])}
    found = correlation_table(events, ["a", "b"], scores).set_index(
        ["class", "variable_1", "variable_2"]
    )
    for kind, expected in (("signal", 0.6), ("background", -0.3)):
        row = found.loc[(kind, "a", "b")]
        assert row["correlation"] == pytest.approx(expected, abs=4 * row["error"])
        assert row["error"] < 0.02
        assert found.loc[(kind, "net", "b")]["correlation"] == pytest.approx(-row["correlation"])
        assert found.loc[(kind, "net", "a")]["correlation"] == pytest.approx(-1)
        assert found.loc[(kind, "b", "a")]["correlation"] == pytest.approx(row["correlation"])


def test_weights_of_correlations_act_as_repetitions():
    x = np.random.default_rng(1).normal(size=(3, 50))
    counts = np.random.default_rng(2).integers(1, 5, 50)
    expected = np.corrcoef(np.repeat(x, counts, axis=1))
    np.testing.assert_allclose(weighted_correlation(x, counts), expected, rtol=1e-12)
    assert np.isnan(weighted_correlation(np.stack([x[0], np.ones(50)]), counts)[0, 1])


def test_correlations_refuse_scores_of_other_events():
    events = table(10)
    with pytest.raises(InputError, match="scores of net"):
        correlation_table(events, ["a"], {"net": events[["event_id"]].iloc[:5].assign(score=1.0)})


def test_separation_table_has_features_by_rank_then_networks():
    events = table()
    job = {"classifier": "net", "supervision": "cwola", "luminosity_fb": 36.0, "seed": 3}
    found = separation_table(events, ["b", "a"], [job], [events.assign(score=events["a"])])
    assert list(found["variable"]) == ["a", "b", "net"]
    assert list(found["supervision"]) == ["none", "none", "cwola"]
    assert found["separation"].iloc[2] == found["separation"].iloc[0]
    assert found["separation"].iloc[0] > 10 * found["separation"].iloc[1]
    assert found["seed"].isna().tolist() == [True, True, False]


def test_kolmogorov_smirnov_is_that_of_scipy_and_takes_weights():
    a, b = gaussians(0.2, 400)
    reference = ks_2samp(a, b, method="asymp")
    distance, probability = kolmogorov_smirnov(a, np.ones(400), b, np.ones(400))
    assert distance == pytest.approx(reference.statistic)
    assert probability == pytest.approx(reference.pvalue, abs=0.02)
    counts = np.random.default_rng(1).integers(1, 4, 400)
    weighted, _ = kolmogorov_smirnov(a, counts, b, np.ones(400))
    assert weighted == pytest.approx(ks_2samp(np.repeat(a, counts), b).statistic)


def scored(n, shift, seed):
    signal, background = gaussians(shift, n, seed)
    labels = np.repeat([1, 0], n)
    return pd.DataFrame(
        {
            "label": labels,
            "weight_fb": 1.0,
            "score": np.concatenate([signal, background]),
            "training_label": labels,
            "training_weight": 1.0,
        }
    )


def held_out(*tables):
    """Score table of held-out events, a fold a table."""
    return pd.concat([table.assign(fold=number) for number, table in enumerate(tables)])


def test_overtraining_shows_in_auc_and_shape():
    same = overtraining([scored(2000, 1, 1)], held_out(scored(2000, 1, 2)), [(0,)])
    assert same["auc_train"] == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.02)
    assert abs(same["auc_train"] - same["auc"]) < 0.02
    assert same["auc_train_labels"] == same["auc_train"]
    assert min(same["p_signal"], same["p_background"]) > 0.01
    worse = overtraining([scored(2000, 2, 1)], held_out(scored(2000, 1, 2)), [(0,)])
    assert worse["auc_train"] > worse["auc"] + 0.1
    assert worse["p_signal"] < 1e-6 < 0.01 < worse["p_background"]


def test_overtraining_averages_over_networks_and_their_own_folds():
    tables = [scored(2000, shift, seed) for seed, shift in enumerate((0, 1, 2))]
    scores = held_out(*tables)
    both = overtraining([tables[2], tables[1]], scores, [(0,), (1, 2)])
    first = overtraining([tables[2]], scores, [(0,)])
    second = overtraining([tables[1]], scores, [(1, 2)])
    for name in ("auc_train", "auc", "ks_signal"):
        assert both[name] == pytest.approx((first[name] + second[name]) / 2)
    assert both["p_signal"] == min(first["p_signal"], second["p_signal"])
    assert first["auc"] == pytest.approx(0.5, abs=0.02)


def test_overtraining_needs_both_classes():
    fold = scored(10, 1, 1)
    background = fold[fold["label"] == 0]
    assert overtraining([background], held_out(fold), [(0,)]) is None
    assert overtraining([fold], held_out(background), [(0,)]) is None
