import numpy as np
import pandas as pd
import pyhf
import pytest
from scipy.optimize import brentq
from scipy.stats import norm, poisson
from test_limits import counting_workspace, full_workspace

from cwolaflow.errors import StatisticsError
from cwolaflow.inference.pseudo_data import (
    coverage,
    draw_pseudo_data,
    observed_limits,
    pseudo_experiments,
)
from cwolaflow.inference.toys import toy_limit


def counting_limit(observed, signal, background):
    """Asymptotic observed CLs limit of a counting experiment, in closed form."""

    def root_q(n, mu, strength):
        rate, best = mu * signal + background, strength * signal + background
        return np.sqrt(2 * max(rate - best - (n * np.log(rate / best) if n else 0.0), 0))

    best = max((observed - background) / signal, 0.0)

    def excess(mu):
        q, q_a = root_q(observed, mu, best) ** 2, root_q(background, mu, 0.0) ** 2
        if mu <= best:
            return 1.0 - 0.05
        if q <= q_a:
            tails = norm.sf(np.sqrt(q)), norm.sf(np.sqrt(q) - np.sqrt(q_a))
        else:
            tails = (
                norm.sf((q + q_a) / (2 * np.sqrt(q_a))),
                norm.sf((q - q_a) / (2 * np.sqrt(q_a))),
            )
        return tails[0] / tails[1] - 0.05

    return brentq(excess, best + 1e-6, best + 100 / signal * np.sqrt(background))


def test_observed_limit_of_a_counting_experiment_has_its_closed_form():
    data = np.array([0.0, 70, 88, 100, 112, 150])
    found = observed_limits(counting_workspace([10.0], [100.0]), data[:, None])
    expected = [counting_limit(n, 10.0, 100.0) for n in data]
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert (np.diff(found) > 0).all()


def test_observed_limits_agree_with_generic_pyhf():
    workspace = full_workspace()
    data = draw_pseudo_data(workspace, [0.0, 0.3], seed=4)
    found = observed_limits(workspace, data)
    pyhf.set_backend("numpy", "scipy")
    model = pyhf.Workspace(workspace).model()
    for observed, values in zip(found, data, strict=True):
        at_limit = pyhf.infer.hypotest(observed, list(values), model, test_stat="qtilde")
        assert float(at_limit) == pytest.approx(0.05, rel=5e-3)


def test_limit_of_one_data_set_does_not_depend_on_the_others():
    workspace = full_workspace()
    data = draw_pseudo_data(workspace, [0.0, 0.1, 1.0], seed=5)
    together = observed_limits(workspace, data)
    np.testing.assert_allclose(together[:1], observed_limits(workspace, data[:1]), rtol=2e-4)


def test_pseudo_data_have_the_moments_of_the_model_and_repeat():
    workspace = full_workspace()
    data = draw_pseudo_data(workspace, [0.5] * 4000, seed=6)
    np.testing.assert_array_equal(data, draw_pseudo_data(workspace, [0.5] * 4000, seed=6))
    assert (data != draw_pseudo_data(workspace, [0.5] * 4000, seed=7)).any()
    bins = data[:, :4]
    expected = np.array([900.0, 300, 90, 20]) + 0.5 * np.array([80.0, 55, 38, 25])
    np.testing.assert_allclose(bins.mean(axis=0), expected, atol=4 * np.sqrt(expected.max() / 4000))
    np.testing.assert_allclose(bins.var(axis=0), expected, rtol=0.1)
    assert (bins == np.round(bins)).all()
    model = pyhf.Workspace(workspace).model()
    constrained = [name for name in model.config.par_order if name != "br_hinv"]
    widths = np.concatenate([model.config.param_set(name).width() for name in constrained])
    filled = widths > 0
    np.testing.assert_allclose(data[:, 4:].std(axis=0)[filled], widths[filled], rtol=0.06)


def test_coverage_of_a_counting_experiment_is_the_exact_one():
    signal, background, injected = 10.0, 40.0, 0.6
    experiments = pseudo_experiments(
        counting_workspace([signal], [background]), [injected], 2000, seed=8
    )
    counts = np.arange(15, 100)
    limits = np.array([counting_limit(n, signal, background) for n in counts])
    exact = poisson.pmf(counts, background + injected * signal)[limits >= injected].sum()
    row = coverage(experiments).iloc[0]
    assert exact >= 0.95
    assert row["coverage"] == pytest.approx(exact, abs=4 * row["coverage_error"])


def test_coverage_counts_by_hand_and_keeps_leading_columns():
    experiments = pd.DataFrame(
        {
            "analysis": "m_jj",
            "injected": [0.0, 0.0, 0.1, 0.1, 0.1, 0.1],
            "experiment": [0, 1, 0, 1, 2, 3],
            "observed_limit": [0.2, 0.4, 0.05, 0.1, 0.3, 0.5],
        }
    )
    table = coverage(experiments)
    assert list(table["analysis"]) == ["m_jj", "m_jj"]
    assert list(table["experiments"]) == [2, 4]
    assert list(table["coverage"]) == [1.0, 0.75]
    np.testing.assert_allclose(table["coverage_error"], [np.sqrt(0.125), np.sqrt(0.75 / 16)])
    np.testing.assert_allclose(table["median_limit"], [0.3, 0.2])


def test_toys_of_a_counting_experiment_give_the_exact_cls():
    signal, background = 3.0, 4.0
    strengths = [1.0, 1.5, 2.0, 2.5]
    toys = toy_limit(counting_workspace([signal], [background]), strengths, 20000, seed=9)
    median = poisson.median(background)
    exact = [
        poisson.cdf(median, mu * signal + background) / poisson.cdf(median, background)
        for mu in strengths
    ]
    assert (np.abs(toys.cls - exact) < 4 * toys.cls_error).all()
    limit = brentq(
        lambda mu: (
            poisson.cdf(median, mu * signal + background) / poisson.cdf(median, background) - 0.05
        ),
        1,
        3,
    )
    assert toys.median == pytest.approx(limit, abs=4 * toys.error + 0.01)


def test_strengths_on_one_side_of_the_limit_are_refused():
    with pytest.raises(StatisticsError, match="both sides of the limit"):
        toy_limit(counting_workspace([3.0], [4.0]), [0.1, 0.2], 200, seed=9)
