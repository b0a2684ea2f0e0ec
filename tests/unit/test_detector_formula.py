import numpy as np
import pytest

from cwolaflow.errors import ConfigError
from cwolaflow.production.detector.formula import BinnedFormula, compile_formula


def test_formula_of_arrays():
    formula = compile_formula("2*pt**2 + abs(eta)", ("pt", "eta"), "card")
    np.testing.assert_allclose(formula(pt=np.array([1.0, 3.0]), eta=np.array([-1.0, 2.0])), [3, 20])


def test_number_is_a_formula():
    assert compile_formula(0.7, ("pt",), "card")(pt=np.ones(3)) == 0.7


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        "pt.__class__",
        "energy*2",
        "pt if pt else 1",
        "[pt]",
        "'a'",
        "pt[0]",
        "hypot(a=1)",
        "(lambda: 1)()",
        "pt +",
    ],
)
def test_anything_but_arithmetic_is_refused(text):
    with pytest.raises(ConfigError, match=r"card\.yaml: key"):
        compile_formula(text, ("pt",), "card.yaml: key")


def test_bins_are_open_below_and_closed_above():
    table = BinnedFormula(
        [
            {"abs_eta": [0, 1.5], "pt": [0.1, 1], "value": 0.7},
            {"abs_eta": [0, 1.5], "pt": [1, None], "value": "0.9 + 0*pt"},
            {"abs_eta": [1.5, 2.5], "pt": [0.1, None], "value": 0.6},
        ],
        ("pt", "eta"),
        "card",
    )
    eta = np.array([0.0, 0.0, -1.5, 1.5, 1.6, -2.5, 2.6, 1.0])
    pt = np.array([0.1, 1.0, 1.0, 1.1, 5.0, 5.0, 5.0, 1e9])
    np.testing.assert_array_equal(table(eta, pt=pt), [0, 0.7, 0.7, 0.9, 0.6, 0.6, 0, 0.9])
