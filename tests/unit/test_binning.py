import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwolaflow.errors import InputError, StatisticsError
from cwolaflow.inference.binning import choose_edges, fill_templates


def background_errors(values, weights, is_background, edges):
    """Relative errors by numpy's own histogram, with events outside moved to the edges."""
    clipped = np.clip(values[is_background], edges[0], edges[-1])
    sums, _ = np.histogram(clipped, edges, weights=weights[is_background])
    squares, _ = np.histogram(clipped, edges, weights=weights[is_background] ** 2)
    return np.sqrt(squares) / sums


@st.composite
def simulations(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(500, 2000))
    values = rng.exponential(draw(st.floats(0.05, 3)), size)
    weights = rng.uniform(0.5, draw(st.floats(0.6, 5)), size)
    weights *= np.where(rng.random(size) < draw(st.floats(0, 0.1)), -1, 1)
    is_background = rng.random(size) < 0.7
    return values, weights, is_background


@given(simulations(), st.sampled_from([None, (0.0, 4.0), (0.1, 1.0)]), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_every_bin_is_precise_enough(simulation, value_range, bins):
    values, weights, is_background = simulation
    edges = choose_edges(*simulation, value_range, bins, 0.15)
    assert 2 <= len(edges) <= bins + 1
    assert (np.diff(edges) > 0).all()
    assert (background_errors(values, weights, is_background, edges) <= 0.15 + 1e-12).all()
    if value_range is not None:
        assert (edges[0], edges[-1]) == value_range
        start = np.linspace(*value_range, bins + 1)
        assert set(edges) <= set(start)


@given(simulations(), st.sampled_from([None, (0.0, 4.0)]), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_of_events_does_not_matter(simulation, value_range, random):
    order = np.random.default_rng(random.randrange(2**32)).permutation(len(simulation[0]))
    shuffled = [column[order] for column in simulation]
    np.testing.assert_array_equal(
        choose_edges(*simulation, value_range, 12, 0.15),
        choose_edges(*shuffled, value_range, 12, 0.15),
    )


@pytest.mark.parametrize("value_range", [None, (0.0, 3.0)])
def test_neither_luminosity_nor_signal_rate_moves_the_edges(value_range):
    rng = np.random.default_rng(1)
    values = rng.exponential(1, 3000)
    is_background = rng.random(3000) < 0.6
    weights = np.ones(3000)
    edges = choose_edges(values, weights, is_background, value_range, 12, 0.15)
    more = np.where(is_background, 4.0, 512.0)
    np.testing.assert_allclose(
        choose_edges(values, more, is_background, value_range, 12, 0.15), edges
    )


def test_hand_computed_merging_from_the_high_edge():
    # At 50%, four unit weights make a bin: 3 high ones take the bin below in, 5 stand alone.
    counts = [2, 3, 5, 1, 3]
    values = np.repeat(np.arange(5) + 0.5, counts)
    background = np.ones(len(values), dtype=bool)
    edges = choose_edges(values, np.ones(len(values)), background, (0, 5), 5, 0.5)
    np.testing.assert_array_equal(edges, [0, 2, 3, 5])


def test_remainder_at_the_low_edge_joins_the_bin_above():
    values = np.repeat([0.5, 1.5, 2.5], [1, 4, 4])
    background = np.ones(9, dtype=bool)
    edges = choose_edges(values, np.ones(9), background, (0, 3), 3, 0.5)
    np.testing.assert_array_equal(edges, [0, 2, 3])


def test_heavy_remainder_merges_until_it_is_precise():
    # Weight 3 beside four of 1: error sqrt(13)/7 = 0.515; with four more sqrt(17)/11 = 0.375.
    values = np.array([0.5] + [1.5] * 4 + [2.5] * 4)
    weights = np.array([3.0] + [1.0] * 8)
    background = np.ones(9, dtype=bool)
    np.testing.assert_array_equal(choose_edges(values, weights, background, (0, 3), 3, 0.5), [0, 3])


def test_fine_bins_stay_where_statistics_allow():
    values = np.repeat(np.arange(12) + 0.5, 45)
    background = np.ones(len(values), dtype=bool)
    edges = choose_edges(values, np.ones(len(values)), background, (0, 12), 12, 0.15)
    np.testing.assert_array_equal(edges, np.arange(13.0))


def test_events_outside_count_in_the_edge_bins():
    values = np.repeat([-7.0, 1.5, 99.0], 4)
    background = np.ones(12, dtype=bool)
    edges = choose_edges(values, np.ones(12), background, (0, 3), 3, 0.5)
    np.testing.assert_array_equal(edges, [0, 1, 2, 3])


def test_signal_gives_no_precision():
    values = np.repeat([0.5, 1.5], [50, 50])
    is_background = values < 1
    with_signal_only_high = choose_edges(values, np.ones(100), is_background, (0, 2), 2, 0.15)
    np.testing.assert_array_equal(with_signal_only_high, [0, 2])


def test_narrow_scores_still_give_bins():
    rng = np.random.default_rng(3)
    values = rng.normal(0.5, 1e-4, 20000).astype(np.float32)
    is_background = np.arange(20000) % 2 == 0
    edges = choose_edges(values, np.ones(20000), is_background, None, 20, 0.15)
    assert len(edges) == 21
    shares = np.histogram(values.astype(float), edges)[0] / 20000
    np.testing.assert_allclose(shares, 0.05, atol=0.002)


def test_score_bins_resolve_the_signal_under_a_much_larger_background():
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.beta(2, 5, 20000), rng.beta(5, 2, 20000)])
    is_background = np.arange(40000) < 20000
    weights = np.where(is_background, 100.0, 1.0)
    edges = choose_edges(values, weights, is_background, None, 20, 0.15)
    # 45 events make 15%: the top bin is limited by the simulation, not by the starting bins.
    assert 45 <= np.count_nonzero(values[is_background] >= edges[-2]) < 90


def test_constant_score_gives_one_bin():
    edges = choose_edges(np.full(100, 0.3), np.ones(100), np.arange(100) < 80, None, 20, 0.15)
    assert len(edges) == 2
    assert edges[0] < 0.3 < edges[1]


def test_too_few_background_events_are_counted():
    values = np.linspace(0, 1, 20)
    with pytest.raises(
        StatisticsError, match=r"^20 simulated .* 0\.224 .* 0\.15: .* about 45 back"
    ):
        choose_edges(values, np.ones(20), np.ones(20, dtype=bool), (0, 1), 5, 0.15)


@pytest.mark.parametrize("weights", [[], [1.0, -2.0]])
def test_background_without_weight(weights):
    count = len(weights)
    with pytest.raises(StatisticsError, match=f"from {count} simulated ones"):
        choose_edges(np.zeros(count), weights, np.ones(count, dtype=bool), (0, 1), 5, 0.15)


def test_values_must_be_finite():
    with pytest.raises(InputError, match="1 of 3 values"):
        choose_edges([1.0, np.nan, 2.0], np.ones(3), np.ones(3, dtype=bool), (0, 3), 3, 0.9)


def test_templates_have_the_expected_yields():
    rng = np.random.default_rng(5)
    values = rng.exponential(1, 500)
    weights = rng.normal(1, 0.5, 500)
    processes = np.where(rng.random(500) < 0.3, "vbf_hinv", "z_qcd")
    edges = np.array([0.2, 0.5, 1.0, 3.0])
    templates = fill_templates(values, weights, processes, edges, 140, ["z_qcd", "vbf_hinv"])
    assert list(templates.counts) == ["z_qcd", "vbf_hinv"]
    for process in templates.counts:
        chosen = processes == process
        assert templates.counts[process].sum() == pytest.approx(140 * weights[chosen].sum())
        assert templates.variances[process].sum() == pytest.approx(
            140**2 * (weights[chosen] ** 2).sum()
        )


def test_hand_filled_template():
    values = np.array([-1.0, 0.0, 0.999, 1.0, 2.0, 7.0])
    weights = np.array([1.0, 2.0, 4.0, 8.0, 16.0, -32.0])
    templates = fill_templates(
        values, weights, np.full(6, "z_qcd"), [0.0, 1.0, 2.0], 0.5, ["z_qcd"]
    )
    np.testing.assert_allclose(templates.counts["z_qcd"], [3.5, -4.0])
    np.testing.assert_allclose(templates.variances["z_qcd"], [21 / 4, (64 + 256 + 1024) / 4])


def test_templates_put_events_where_the_edges_were_chosen():
    rng = np.random.default_rng(6)
    values = rng.beta(3, 3, 4000).astype(np.float32)
    weights = rng.uniform(0.5, 2, 4000)
    is_background = rng.random(4000) < 0.5
    edges = choose_edges(values, weights, is_background, None, 20, 0.15)
    processes = np.where(is_background, "z_qcd", "vbf_hinv")
    templates = fill_templates(values, weights, processes, edges, 36, ["z_qcd", "vbf_hinv"])
    errors = np.sqrt(templates.variances["z_qcd"]) / templates.counts["z_qcd"]
    assert (errors <= 0.15).all()


def test_process_without_events_is_named():
    with pytest.raises(StatisticsError, match="process w_qcd has no simulated event"):
        fill_templates([0.5], [1.0], ["z_qcd"], [0.0, 1.0], 36, ["z_qcd", "w_qcd"])


def test_unknown_process_is_named():
    with pytest.raises(InputError, match="process top"):
        fill_templates([0.5], [1.0], ["top"], [0.0, 1.0], 36, ["z_qcd"])
