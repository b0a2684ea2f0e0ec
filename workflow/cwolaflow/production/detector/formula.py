"""Formulas and binned tables of a detector card."""

import ast
import operator
from collections.abc import Callable, Sequence

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
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}

Formula = Callable[..., np.ndarray | float]


def compile_formula(text: str | float, variables: Sequence[str], where: str) -> Formula:
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

    def compiled(node: ast.AST) -> Formula:
        match node:
            case ast.Constant(value=int() | float() as number):
                return lambda **values: number
            case ast.Name(id=name) if name in variables:
                return lambda **values: values[name]
            case ast.UnaryOp() if type(node.op) in OPERATORS:
                return _applied(OPERATORS[type(node.op)], [compiled(node.operand)])
            case ast.BinOp() if type(node.op) in OPERATORS:
                sides = [compiled(node.left), compiled(node.right)]
                return _applied(OPERATORS[type(node.op)], sides)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
                return _applied(FUNCTIONS[name], [compiled(part) for part in node.args])
        known = ", ".join([*variables, *FUNCTIONS])
        raise ConfigError(
            f"{where}: {ast.unparse(node)!r} in {text!r} is not understood; use {known}"
        )

    return compiled(tree.body)


def _applied(function: Callable, arguments: list[Formula]) -> Formula:
    return lambda **values: function(*(argument(**values) for argument in arguments))


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
