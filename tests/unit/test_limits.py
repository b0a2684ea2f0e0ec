import json
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pyhf
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm

from cwolaflow.errors import StatisticsError
from cwolaflow.files import write_json
from cwolaflow.inference import limits
from cwolaflow.inference.binning import Templates
from cwolaflow.inference.limits import ExpectedLimit, FitError, expected_limit
from cwolaflow.inference.workspace import build_workspace

BAND_ORDER = ("minus_2sigma", "minus_1sigma", "median", "plus_1sigma", "plus_2sigma")


@pytest.fixture(autouse=True)
def numpy_backend():
    pyhf.set_backend("numpy")


def bands(limit: ExpectedLimit) -> np.ndarray:
    return np.array([getattr(limit, name) for name in BAND_ORDER])


def generic_bands(workspace, upper):
    model = pyhf.Workspace(workspace).model()
    data = pyhf.Workspace(workspace).data(model)
    _, expected = pyhf.infer.intervals.upper_limits.toms748_scan(data, model, 0.0, upper, rtol=1e-4)
    return np.array(expected)


def counting_workspace(signal, background, modifiers=()):
    return {
        "version": "1.0.0",
        "channels": [
            {
                "name": "counting",
                "samples": [
                    {
                        "name": "signal",
                        "data": list(signal),
                        "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
                    },
                    {"name": "background", "data": list(background), "modifiers": list(modifiers)},
                ],
            }
        ],
        "observations": [{"name": "counting", "data": list(background)}],
        "measurements": [{"name": "limit", "config": {"poi": "mu", "parameters": []}}],
    }


def full_workspace(luminosity=1.0):
    """Four bins, three processes, all kinds of uncertainty that the workflow uses."""
    counts = {
        "z_qcd": np.array([900.0, 300.0, 90.0, 20.0]),
        "vbf_hinv": np.array([20.0, 30.0, 30.0, 25.0]),
        "ggf_hinv": np.array([60.0, 25.0, 8.0, 0.0]),
    }
    templates = Templates(
        edges=np.arange(5.0),
        counts={name: luminosity * count for name, count in counts.items()},
        variances={name: luminosity**2 * 0.5 * count for name, count in counts.items()},
    )
    return build_workspace(
        templates,
        signals=["vbf_hinv", "ggf_hinv"],
        channel="m_jj",
        poi="br_hinv",
        cross_section_uncertainty={"z_qcd": 0.05, "vbf_hinv": 0.03, "ggf_hinv": 0.08},
        luminosity_uncertainty=0.025,
    )


@pytest.mark.parametrize(
    ("signal", "background", "level"), [(10, 100, 0.95), (3, 2, 0.95), (50, 1e4, 0.9)]
)
def test_counting_experiment_has_its_closed_form(signal, background, level):
    def root_q(mu):
        return np.sqrt(2 * (mu * signal - background * np.log1p(mu * signal / background)))

    expected = []
    for n in (-2, -1, 0, 1, 2):

        def excess_cls(mu, n=n):
            return norm.cdf(n - root_q(mu)) / norm.cdf(n) - (1 - level)

        expected.append(brentq(excess_cls, 1e-6, 100))
    found = bands(expected_limit(counting_workspace([signal], [background]), level))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_large_counts_give_the_gaussian_limit():
    limit = expected_limit(counting_workspace([1e4], [1e8]))
    assert limit.median == pytest.approx(norm.isf(0.025) * 1e4 / 1e4, rel=1e-3)


@pytest.mark.parametrize(
    "modifiers",
    [
        [{"name": "shape", "type": "shapesys", "data": [3.0, 7.0]}],
        [
            {"name": "rate", "type": "normsys", "data": {"hi": 1.3, "lo": 0.85}},
            {"name": "staterror_counting", "type": "staterror", "data": [2.0, 6.0]},
        ],
        [
            {
                "name": "scale",
                "type": "histosys",
                "data": {"hi_data": [55.0, 46.0], "lo_data": [46.0, 57.0]},
            }
        ],
    ],
)
def test_agrees_with_generic_pyhf(modifiers):
    workspace = counting_workspace([12.0, 11.0], [50.0, 52.0], modifiers)
    found = bands(expected_limit(workspace))
    np.testing.assert_allclose(found, generic_bands(workspace, upper=5), rtol=5e-3)


def test_agrees_with_generic_pyhf_on_a_workspace_of_ours():
    workspace = full_workspace()
    found = bands(expected_limit(workspace))
    np.testing.assert_allclose(found, generic_bands(workspace, upper=1.5), rtol=5e-3)


def test_agrees_with_generic_pyhf_where_data_is_not_the_nominal_background():
    modifiers = [{"name": "rate", "type": "normsys", "data": {"hi": 1.2, "lo": 0.8}}]
    workspace = counting_workspace([12.0, 2.0], [50.0, 52.0], modifiers)
    nominal = bands(expected_limit(workspace))
    workspace["observations"][0]["data"] = [62.0, 65.0]
    found = bands(expected_limit(workspace))
    np.testing.assert_allclose(found, generic_bands(workspace, upper=5), rtol=5e-3)
    assert (found > 1.02 * nominal).all()


def test_limit_beyond_the_bounds_of_the_poi_is_found():
    workspace = counting_workspace([0.1], [100.0])
    assert expected_limit(workspace).median == pytest.approx(
        100 * expected_limit(counting_workspace([10.0], [100.0])).median, rel=1e-3
    )


def test_limit_falls_with_luminosity_and_bands_are_ordered():
    limits = [bands(expected_limit(full_workspace(scale))) for scale in (0.3, 1, 4, 16)]
    for less, more in pairwise(limits):
        assert (more < less).all()
    assert all((np.diff(limit) > 0).all() for limit in limits)


def test_lower_confidence_gives_a_lower_limit():
    workspace = full_workspace()
    assert expected_limit(workspace, 0.9).median < 0.9 * expected_limit(workspace, 0.95).median


def test_splitting_the_signal_changes_nothing():
    whole = np.array([30.0, 20.0, 10.0])
    background = np.array([400.0, 100.0, 20.0])

    def limit(signals):
        counts = {"z_qcd": background, **signals}
        templates = Templates(np.arange(4.0), counts, {name: 0.3 * c for name, c in counts.items()})
        return bands(
            expected_limit(
                build_workspace(
                    templates,
                    list(signals),
                    "m_jj",
                    "br_hinv",
                    {**dict.fromkeys(signals, 0.0), "z_qcd": 0.05},
                    0.025,
                )
            )
        )

    split = limit({"vbf_hinv": 0.7 * whole, "ggf_hinv": 0.3 * whole})
    np.testing.assert_allclose(split, limit({"hinv": whole}), rtol=1e-4)


def test_backend_and_torch_settings_are_put_back():
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(maxiter=1234))
    backend, optimiser = pyhf.get_backend()
    torch.set_default_dtype(torch.float32)
    threads = torch.get_num_threads()
    expected_limit(counting_workspace([5.0], [50.0]))
    assert pyhf.get_backend() == (backend, optimiser)
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == threads
    pyhf.set_backend("numpy")


def test_pyhf_command_line_gives_the_confidence_level_at_our_limits(tmp_path):
    workspace = full_workspace()
    write_json(tmp_path / "workspace.json", workspace)
    limit = expected_limit(workspace)
    for position in (0, 2, 4):
        command = [sys.executable, "-c", "from pyhf.cli import cli; cli()", "cls"]
        command += [str(tmp_path / "workspace.json"), "--test-poi", str(bands(limit)[position])]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(answer.stdout)["CLs_exp"][position] == pytest.approx(0.05, rel=5e-3)


def test_failing_fit_names_channel_and_poi():
    workspace = counting_workspace([-5.0], [3.0])
    with pytest.raises(FitError, match=r"channel counting: fit at mu = "):
        expected_limit(workspace)


def test_insensitive_model_is_an_error():
    workspace = counting_workspace([1e-9], [100.0])
    with pytest.raises(StatisticsError, match="channel counting: no expected limit on mu"):
        expected_limit(workspace)


def test_signal_that_may_be_none_at_all_has_no_limit():
    counts = {"z_qcd": np.array([50.0]), "vbf_hinv": np.array([10.0])}
    templates = Templates(
        np.arange(2.0), counts, {"z_qcd": np.array([1.0]), "vbf_hinv": np.array([100.0])}
    )
    workspace = build_workspace(
        templates, ["vbf_hinv"], "m_jj", "br_hinv", {"z_qcd": 0.05, "vbf_hinv": 0.03}, 0.025
    )
    with pytest.raises(StatisticsError, match="too uncertain: simulate more signal"):
        expected_limit(workspace)


def test_to_dict_has_the_names_of_the_limit_file():
    limit = ExpectedLimit(0.1, 0.05, 0.07, 0.14, 0.2)
    assert limit.to_dict() == {
        "median": 0.1,
        "minus_2sigma": 0.05,
        "minus_1sigma": 0.07,
        "plus_1sigma": 0.14,
        "plus_2sigma": 0.2,
    }


def test_two_points_near_the_target_are_no_saturation():
    curve = SimpleNamespace(points={0.0: 0.0, 0.9: 2.73, 1.22238: 3.65232, 1.22361: 3.65593})
    assert limits._mu_at(curve, 3.65698) == pytest.approx(1.22397, rel=1e-4)


def test_fit_ends_where_the_likelihood_no_longer_resolves_a_step(monkeypatch, numpy_backend):
    workspace = pyhf.Workspace(full_workspace())
    fit = limits.NuisanceFit(workspace)
    data = np.array(workspace.data(fit.model))
    start = np.array(fit.model.config.suggested_init(), float)
    best, _ = fit.minimise(data, start)
    near, last = best.copy(), fit.floating[-1]
    near[last] += 2e-5
    exact = fit.nll
    # Up at every step but the shortest, which rounding makes none at all.
    monkeypatch.setattr(fit, "nll", lambda at, data: exact(near, data) + (at[last] != near[last]))
    found, _ = fit.minimise(data, near)
    np.testing.assert_allclose(found, near, rtol=0, atol=1e-12)
