"""Errors that the size of the simulation gives to a limit."""

import numpy as np
import pytest

from cwolaflow.inference.binning import Templates
from cwolaflow.inference.limits import expected_limit
from cwolaflow.inference.precision import as_arrays, linearised_error, simulation_error
from cwolaflow.inference.workspace import build_workspace

EXACT = {"signal": 0.0, "background": 0.0}


def counting(signal, background, events):
    """One bin; ``events`` simulated background events and a signal without error."""
    return Templates(
        edges=np.array([0.0, 1.0]),
        counts={"signal": np.array([signal]), "background": np.array([background])},
        variances={"signal": np.array([0.0]), "background": np.array([background**2 / events])},
    )


def test_linearised_error_of_a_counting_experiment():
    templates = counting(10.0, 400.0, 100)
    arrays = as_arrays(templates, ["signal"], EXACT | {"background": 0.05})
    # Poisson 400, simulation 40², cross section 20², luminosity 8², over s = 10.
    expected = np.sqrt(400 + 1600 + 400 + 64) / 10
    assert linearised_error(*arrays, 0.02) == pytest.approx(expected)


def test_independent_models_are_not_mixed():
    counts = np.array([[[10.0, 5.0], [100.0, 50.0]], [[20.0, 5.0], [100.0, 90.0]]])
    options = (np.ones((2, 2)), np.array([True, False]), np.array([0.0, 0.1]), 0.03)
    together = linearised_error(counts, *options)
    assert together == pytest.approx([linearised_error(one, *options) for one in counts])


def test_the_limit_is_about_twice_the_linearised_error():
    templates = counting(100.0, 10_000.0, 10_000)
    uncertainty = EXACT | {"background": 0.02}
    workspace = build_workspace(templates, ["signal"], "a", "mu", uncertainty, 0.0)
    error = linearised_error(*as_arrays(templates, ["signal"], uncertainty), 0.0)
    assert expected_limit(workspace).median == pytest.approx(1.96 * error, rel=0.04)


def test_error_of_a_counting_experiment_in_closed_form():
    # The limit goes with the square root of b + (b²/n), whose simulated part moves by 1/√n of b.
    events, background = 400, 100.0
    found = simulation_error(counting(10.0, background, events), ["signal"], EXACT, 0.0, 1)
    variance = background + background**2 / events
    expected = 0.5 * background / variance / np.sqrt(events)
    assert found == pytest.approx(expected, rel=0.15)


def test_more_simulation_gives_a_smaller_error_and_the_seed_fixes_it():
    errors = [
        simulation_error(counting(10.0, 100.0, n), ["signal"], EXACT, 0.0, 1) for n in (25, 2500)
    ]
    assert errors[1] < 0.5 * errors[0]
    again = simulation_error(counting(10.0, 100.0, 25), ["signal"], EXACT, 0.0, 1)
    assert again == errors[0]
