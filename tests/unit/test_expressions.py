import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwolaflow.errors import ConfigError
from cwolaflow.expressions import Expression

COLUMNS = {
    "x": np.array([1.0, 2.0, 3.0, np.nan]),
    "y": np.array([-1.0, 5.0, 3.0, 0.0]),
    "n": np.array([0, 1, 2, 3]),
    "category": np.array(["2q0g", "1q1g", "0q2g", "2q0g"], dtype=object),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > 1", [0, 1, 1, 0]),
        ("x >= 1", [1, 1, 1, 0]),
        ("not x > 1", [1, 0, 0, 1]),
        ("x == x", [1, 1, 1, 0]),
        ("x != 2", [1, 0, 1, 0]),
        ("y != x", [1, 1, 0, 0]),
        ("1 < x < 3", [0, 1, 0, 0]),
        ("y < x <= n + 1", [1, 0, 0, 0]),
        ("x > 1 and y > 4 or n == 0", [1, 1, 0, 0]),
        ("x > 1 and (y > 4 or n == 2)", [0, 1, 1, 0]),
        ("abs(y) == 1", [1, 0, 0, 0]),
        ("max(x, y, n) > 3", [0, 1, 0, 0]),
        ("min(y, n) < 0", [1, 0, 0, 0]),
        ("-y > 0", [1, 0, 0, 0]),
        ("x * 2 - 1 == y", [0, 0, 0, 0]),
        ("x / n == 2", [0, 1, 0, 0]),
        ("category == '2q0g'", [1, 0, 0, 1]),
        ('category != "2q0g"', [0, 1, 1, 0]),
        ("n > 0 and\n  n < 3", [0, 1, 1, 0]),
    ],
)
def test_conditions(text, expected):
    expression = Expression(text)
    result = expression.evaluate(COLUMNS)
    assert expression.is_condition
    assert result.dtype == bool
    assert result.tolist() == [bool(value) for value in expected]


def test_value_and_columns():
    expression = Expression("(x + 2*y) / -4")
    assert expression.columns == {"x", "y"}
    assert not expression.is_condition
    np.testing.assert_allclose(expression.evaluate(COLUMNS), (COLUMNS["x"] + 2 * COLUMNS["y"]) / -4)


@pytest.mark.parametrize(
    "text", ["eta < 4.7", "abs(eta) < 9.4/2", "-eta > -4.7", "max(eta, 0) < 4.7"]
)
def test_a_float32_column_at_the_edge_is_at_the_edge(text):
    assert not Expression(text).evaluate({"eta": np.array([4.7], dtype=np.float32)})[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x >",
        "x > 1)",
        "1 < 2",
        "x.real > 1",
        "x[0] > 1",
        "x ** 2 > 1",
        "x // 2 > 1",
        "x % 2 > 1",
        "x & y",
        "~x > 1",
        "x in (1, 2)",
        "x is y",
        "lambda: x",
        "x if y else n",
        "(x := 1) > 0",
        "[x for x in y]",
        "f'{x}' == 'a'",
        "x > True",
        "x == None",
        "x > 1j",
        "x > 1e999",
        "x > " + "9" * 400,
        "x and y",
        "not x",
        "(x > 1) + 1",
        "(x > 1) > 0",
        "abs(x, y) > 1",
        "abs() > x",
        "min(x) > 1",
        "min(*x) > 1",
        "max(x, key=y) > 1",
        "abs(x > 1)",
        "x + 'a' > 1",
        "sqrt(x) > 1",
        "__import__('os').system('true') == x",
        "x > 1\x00",
        "-" * 1500 + "x",
        "x" + "+x" * 3000,
    ],
)
def test_what_is_not_in_the_grammar(text):
    with pytest.raises(ConfigError) as caught:
        Expression(text, key="select.regions.SR")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("select.regions.SR: ")


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'missing_et'"):
        Expression("mising_et > 1").evaluate({"missing_et": np.ones(1), "m_jj": np.ones(1)})
    with pytest.raises(ConfigError, match=r"no function 'abss'; did you mean 'abs'\?"):
        Expression("abss(x) > 1")


@pytest.mark.parametrize("text", ["category == 2", "x == '2'", "category > x", "category + 1 > 2"])
def test_text_and_numbers_do_not_mix(text):
    with pytest.raises(ConfigError):
        Expression(text).evaluate(COLUMNS)


@given(st.text())
@settings(deadline=None)
def test_any_text_is_parsed_or_refused(text):
    try:
        Expression(text)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


def _numbers():
    leaves = st.one_of(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 9).map(str),
        st.sampled_from(["0.5", "2.25"]),
    )

    def extend(inner):
        return st.one_of(
            st.tuples(inner, st.sampled_from("+-*"), inner).map(
                lambda t: f"({t[0]} {t[1]} {t[2]})"
            ),
            inner.map(lambda t: f"(-{t})"),
            inner.map(lambda t: f"abs({t})"),
            st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(
                lambda t: f"{t[0]}({t[1]}, {t[2]})"
            ),
        )

    return st.recursive(leaves, extend, max_leaves=6)


def _conditions():
    comparison = st.tuples(
        _numbers(), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _numbers()
    ).map(" ".join)
    chained = st.tuples(_numbers(), st.just("<"), _numbers(), st.just("<="), _numbers()).map(
        " ".join
    )

    def extend(inner):
        return st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
            inner.map(lambda t: f"not ({t})"),
            inner.map(lambda t: f"({t})"),
        )

    return st.recursive(st.one_of(comparison, chained), extend, max_leaves=5)


@given(_conditions(), st.lists(st.tuples(*[st.integers(-8, 8)] * 3), min_size=1, max_size=5))
@settings(deadline=None)
def test_agrees_with_python_row_by_row(text, rows):
    columns = {
        name: np.array(values, float)
        for name, values in zip("abc", zip(*rows, strict=True), strict=True)
    }
    text += " or a != a"
    functions = {name: getattr(builtins, name) for name in ("abs", "min", "max")}
    expected = [
        eval(text, functions, dict(zip("abc", map(float, row), strict=True))) for row in rows
    ]
    assert Expression(text).evaluate(columns).tolist() == expected
