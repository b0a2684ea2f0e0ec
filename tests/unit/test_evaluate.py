import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import event_table

from cwolaflow.errors import StatisticsError
from cwolaflow.learning.evaluate import (
    SCORE_COLUMNS,
    evaluate,
    implied_auc_mixed,
    roc_curve,
    score_table,
)

SUMMARY = {
    "n_m1": 70,
    "n_m2": 30,
    "n_train": 80,
    "f1": 0.6,
    "f2": 0.2,
    "signal_scale": 1.0,
    "notes": [],
}


@pytest.fixture
def scores():
    """Two signal and two background events, computed by hand below."""
    events = event_table(
        [
            ("s", 1, "SR", 1, 1.0),
            ("s", 1, "SB", 1, 3.0),
            ("b", 0, "SR", 1, 1.0),
            ("b", 0, "SB", 1, 4.0),
        ]
    )
    return score_table(events, np.array([0.9, 0.4, 0.6, 0.1]))


def test_metrics_computed_by_hand(scores):
    metrics = evaluate(scores, SUMMARY)
    # Pairs in the right order: (s .9, b .6) 1·1, (s .9, b .1) 1·4, (s .4, b .1) 3·4, of 4·5.
    assert metrics["auc"] == pytest.approx(17 / 20)
    # SR .9 (1) and .6 (1) against SB .4 (3) and .1 (4): all in the right order.
    assert metrics["auc_mixed"] == pytest.approx(1.0)
    # Signal passes 1 of 4, background fails 4 of 5.
    assert metrics["accuracy"] == pytest.approx((1 / 4 + 4 / 5) / 2)
    assert metrics["n_test_signal"] == metrics["n_test_background"] == 2
    assert (metrics["n_m1"], metrics["n_m2"], metrics["n_train"]) == (70, 30, 80)


def test_implied_auc_computed_by_hand(scores):
    # Signal (s) and background (b) right with probability 0.8. M1 has s in 3 of 4, M2 in 1 of 4:
    # (s, b) 9/16 · 0.8, (b, s) 1/16 · 0.2, equals 6/16 · 0.5.
    by_pairs = (9 * 0.8 + 1 * 0.2 + 6 * 0.5) / 16
    assert implied_auc_mixed(0.75, 0.25, 0.8) == pytest.approx(by_pairs)
    metrics = evaluate(scores, SUMMARY)
    assert metrics["auc_mixed_implied"] == pytest.approx(0.5 + 0.4 * 0.35)
    assert metrics["auc_mixed_excess"] == pytest.approx(1.0 - 0.64)
    assert (metrics["f1"], metrics["f2"]) == (0.6, 0.2)


def test_nothing_is_implied_without_mixtures(scores):
    metrics = evaluate(scores, SUMMARY | {"f1": None, "f2": None})
    assert metrics["auc_mixed_implied"] is metrics["auc_mixed_excess"] is None
    assert metrics["auc_mixed"] == pytest.approx(1.0)


def test_mixed_auc_has_the_signal_of_the_mixtures(scores):
    # SR: signal .3 (1), background .6 (1); SB: signal .4 (3), background .1 (4).
    swapped = scores.assign(score=[0.3, 0.4, 0.6, 0.1])
    assert evaluate(swapped, SUMMARY | {"signal_scale": 0.0})["auc_mixed"] == 1.0
    # Pairs: .3 (10) beats .1 (4 of 34), .6 (1) beats all.
    more = evaluate(swapped, SUMMARY | {"signal_scale": 10.0})["auc_mixed"]
    assert more == pytest.approx((10 * 4 + 1 * 34) / (11 * 34))


def test_test_events_stand_for_the_whole_expected_yield():
    events = event_table([("s", 1, "SR", 40, 3), ("b", 0, "SB", 60, 8)], folds=4)
    is_test = (events["fold"] == 0).to_numpy()
    table = score_table(events, np.linspace(0, 1, 100), is_test)
    assert len(table) == 25
    assert table["event_id"].tolist() == events["event_id"][is_test].tolist()
    expected = table.groupby("process")["weight_fb"].sum()
    assert expected.to_dict() == pytest.approx({"s": 3, "b": 8})
    metrics = evaluate(table, SUMMARY)
    assert (metrics["n_test_signal"], metrics["n_test_background"]) == (10, 15)


def test_columns_of_the_score_table(scores):
    assert list(scores.columns) == [*SCORE_COLUMNS, "score"]
    assert scores["score"].dtype == np.float32


def test_events_out_of_both_regions_do_not_enter_the_mixed_auc(scores):
    scores.loc[3, "region"] = ""
    metrics = evaluate(scores, SUMMARY)
    assert metrics["auc_mixed"] == pytest.approx(1.0)
    assert metrics["auc"] == pytest.approx(17 / 20)
    scores.loc[1, "region"] = ""
    assert evaluate(scores, SUMMARY)["auc_mixed"] is None


def test_a_class_without_events(scores):
    with pytest.raises(StatisticsError, match="no signal"):
        evaluate(scores[scores["label"] == 0], SUMMARY)
    with pytest.raises(StatisticsError, match="no background"):
        evaluate(scores[scores["label"] == 1], SUMMARY)
    with pytest.raises(StatisticsError, match="negative"):
        evaluate(scores.assign(weight_fb=[1, 1, 1, -1.0]), SUMMARY)


def test_auc_is_implied_by_the_fractions_where_the_regions_differ_by_them_alone():
    pools = [
        ("s", 1, "SR", 4000, 60),
        ("s", 1, "SB", 4000, 20),
        ("b", 0, "SR", 4000, 40),
        ("b", 0, "SB", 4000, 80),
    ]
    events = event_table(pools)
    rng = np.random.default_rng(1)
    logits = rng.normal(size=len(events)) + 1.5 * events["label"]
    metrics = evaluate(score_table(events, 1 / (1 + np.exp(-logits.to_numpy()))), SUMMARY)
    assert metrics["auc_mixed_implied"] == pytest.approx(0.5 + 0.4 * (metrics["auc"] - 0.5))
    # The statistical error of an AUC of 8,000 against 8,000 events is 0.005.
    assert metrics["auc_mixed_excess"] == pytest.approx(0, abs=0.015)
    knowing = logits + 2 * (events["region"] == "SR")
    metrics = evaluate(score_table(events, 1 / (1 + np.exp(-knowing.to_numpy()))), SUMMARY)
    assert metrics["auc_mixed_excess"] > 0.1


def test_roc_curve_computed_by_hand():
    fpr, tpr = roc_curve(
        np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1]), np.array([1, 3, 1, 4]), points=6
    )
    assert fpr == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert tpr == pytest.approx([0.25, 1, 1, 1, 1, 1])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 50))
def test_roc_curve_rises_and_its_area_is_the_auc(seed, n):
    rng = np.random.default_rng(seed)
    events = event_table([("s", 1, "SR", n, 2), ("b", 0, "SB", n, 7)])
    table = score_table(events, rng.integers(0, 10, 2 * n) / 10)
    table["weight_fb"] *= rng.uniform(0.1, 2, 2 * n)
    fpr, tpr = roc_curve(table["label"], table["score"], table["weight_fb"], points=4001)
    assert (np.diff(tpr) >= -1e-12).all()
    assert tpr[-1] == pytest.approx(1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(evaluate(table, SUMMARY)["auc"], abs=1e-3)
