"""Formulas and binned tables of a detector card."""

import ast
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cwolaflow.errors import ConfigError

FUNCTIONS = {
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "cosh": np.cosh,
    "abs": np.abs,
    "hypot": np.hypot,
}
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub, ast.UAdd)
_STRUCTURE = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Load)


def compile_formula(
    text: str | float, variables: Sequence[str], where: str
) -> Callable[..., np.ndarray | float]:
    """Compile an arithmetic formula into a function of numpy arrays.

    Parameters
    ----------
    text : str or float
        Formula of numbers, ``variables`` and `FUNCTIONS`; nothing else is understood.
    variables : sequence of str
        Names that the formula may use, keyword arguments of the result.
    where : str
        File and key, for the error message.

    Returns
    -------
    callable
        Takes every variable by keyword (arrays of one shape) and returns the value.

    Raises
    ------
    ConfigError
        The formula is not arithmetic, or names something unknown.
    """
    try:
        tree = ast.parse(str(text), mode="eval")
    except SyntaxError as error:
        raise ConfigError(f"{where}: {text!r} is not a formula ({error.msg})") from error
    for node in ast.walk(tree):
        _refuse_unknown(node, text, variables, where)
    code = compile(tree, where, "eval")

    def evaluate(**values: np.ndarray) -> np.ndarray | float:
        return eval(code, {"__builtins__": {}}, {**FUNCTIONS, **values})

    return evaluate


def _refuse_unknown(node: ast.AST, text: Any, variables: Sequence[str], where: str) -> None:
    if isinstance(node, (*_OPERATORS, *_STRUCTURE)):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return
    if isinstance(node, ast.Name) and (node.id in variables or node.id in FUNCTIONS):
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return
    known = ", ".join([*variables, *FUNCTIONS])
    raise ConfigError(f"{where}: {ast.unparse(node)!r} in {text!r} is not understood; use {known}")


class BinnedFormula:
    """A quantity given by one formula for each bin of |eta| and, optionally, pt.

    Parameters
    ----------
    bins : list of dict
        Entries ``abs_eta: [lo, hi]``, optionally ``pt: [lo, hi]``, and ``value``. A value lies in a
        bin when lo < x <= hi; ``null`` is no bound; |eta| = 0 belongs to a bin that starts at 0.
        No bin: 0.
    variables : sequence of str
        What the formulas may use.
    where : str
        File and key, for error messages.
    """

    def __init__(self, bins: list[dict], variables: Sequence[str], where: str):
        self._bins = []
        for number, entry in enumerate(bins):
            formula = compile_formula(entry["value"], variables, f"{where}[{number}].value")
            self._bins.append(
                (_bounds(entry["abs_eta"]), _bounds(entry.get("pt", [None, None])), formula)
            )

    def __call__(self, eta: np.ndarray, **values: np.ndarray) -> np.ndarray:
        """Value of each object, float64 of the shape of ``eta``; ``values`` by variable name."""
        result = np.zeros(len(eta))
        abs_eta = np.abs(eta)
        for (eta_min, eta_max), (pt_min, pt_max), formula in self._bins:
            # |eta| = 0 is inside a bin that starts at 0.
            above = (abs_eta > eta_min) | ((eta_min == 0) & (abs_eta == 0))
            inside = above & (abs_eta <= eta_max)
            if "pt" in values:
                inside &= (values["pt"] > pt_min) & (values["pt"] <= pt_max)
            selected = {name: array[inside] for name, array in values.items()}
            result[inside] = formula(eta=eta[inside], **selected)
        return result


def _bounds(pair: list[float | None]) -> tuple[float, float]:
    low, high = pair
    return (-np.inf if low is None else low, np.inf if high is None else high)
