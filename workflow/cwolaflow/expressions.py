r"""Conditions and formulae over columns, as they are written in a study.

Grammar
-------
numbers and quoted strings
    ``200``, ``1.5e3``, ``'2q0g'``
columns
    by name: ``m_jj``
arithmetic
    ``+ - * /``, unary ``-`` and ``+``, parentheses
functions
    ``abs(x)``, ``min(x, y, ...)``, ``max(x, y, ...)``
comparisons
    ``< <= > >= == !=``, chained as in ``-1 < jet1_eta < 1``
logic
    ``and``, ``or``, ``not``, of comparisons

Every operation works element by element. A comparison with NaN (an undefined quantity) is false,
``!=`` included. Numbers take the precision of the column they meet: a float32 column is compared
in float32, so that a value stored at an edge is at the edge.
"""

import ast
import difflib
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from cwolaflow.errors import ConfigError

MAX_LENGTH = 2000
GRAMMAR = "the grammar is described in cwolaflow.expressions"

ARITHMETIC = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
SIGNS = {ast.USub: np.negative, ast.UAdd: np.positive}
COMPARISONS = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
LOGIC = {ast.And: np.logical_and, ast.Or: np.logical_or}
FUNCTIONS = {"abs": (np.abs, 1, 1), "min": (np.minimum, 2, None), "max": (np.maximum, 2, None)}

Columns = Mapping[str, np.ndarray]
Compiled = Callable[[Columns], Any]


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what a misspelt name may have meant, or what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known) or 'none'}"


class Expression:
    """A parsed expression.

    Parameters
    ----------
    text : str
        The expression, in the grammar of this module.
    key : str
        Config key that holds it, named in errors.

    Attributes
    ----------
    columns : frozenset of str
        The columns it reads.
    is_condition : bool
        Whether its value is a truth value.

    Raises
    ------
    ConfigError
        The text is not in the grammar.
    """

    def __init__(self, text: str, key: str = "expression"):
        self.text = " ".join(str(text).split())
        self.key = key
        self._names: set[str] = set()
        tree = self._parse()
        try:
            kind, self._compiled = self._compile(tree.body)
        except RecursionError:
            raise self._error("is nested too deeply; split it") from None
        if not self._names:
            raise self._error("names no column")
        self.is_condition = kind == "truth"
        self.columns = frozenset(self._names)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def check_columns(self, available: Iterable[str]) -> None:
        """Raise a ConfigError for the first column that is not among ``available``."""
        available = set(available)
        for name in sorted(self.columns - available):
            raise self._error(f"no column '{name}'; {nearest(name, available)}")

    def evaluate(self, columns: Columns) -> np.ndarray:
        """Evaluate over columns of equal length.

        Parameters
        ----------
        columns : mapping of str to array_like, shape (n,)
            Must hold every name of ``self.columns``; others are ignored.

        Returns
        -------
        np.ndarray, shape (n,)
            Of bool for a condition.

        Raises
        ------
        ConfigError
            A column is missing, or its type does not fit the operation.
        """
        self.check_columns(columns)
        used = {name: np.asarray(columns[name]) for name in self.columns}
        try:
            with np.errstate(all="ignore"):
                return np.asarray(self._compiled(used))
        except TypeError as error:
            raise self._error(f"does not fit the types of its columns ({error})") from error

    def _error(self, problem: str) -> ConfigError:
        text = self.text if len(self.text) <= 200 else self.text[:197] + "..."
        return ConfigError(f"{self.key}: {text!r}: {problem}")

    def _parse(self) -> ast.Expression:
        if len(self.text) > MAX_LENGTH:
            raise self._error(f"longer than {MAX_LENGTH} characters; split it")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                return ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            where = f" near character {error.offset}" if error.offset else ""
            raise self._error(f"cannot be read{where}; {GRAMMAR}") from None
        except (ValueError, MemoryError, RecursionError):
            raise self._error(f"cannot be read; {GRAMMAR}") from None

    def _compile(self, node: ast.AST) -> tuple[str, Compiled]:
        """Give the kind of value (number, text, column or truth) and a function of the columns."""
        match node:
            case ast.Constant():
                return self._constant(node.value)
            case ast.Name():
                name = node.id
                self._names.add(name)
                return "column", lambda columns: columns[name]
            case ast.UnaryOp(op=ast.Not()):
                operand = self._operand(node.operand, {"truth"}, "not")
                return "truth", lambda columns: np.logical_not(operand(columns))
            case ast.UnaryOp() if type(node.op) in SIGNS:
                sign = SIGNS[type(node.op)]
                operand = self._operand(node.operand, {"number", "column"}, "a sign")
                return "number", lambda columns: _plain(sign(operand(columns)))
            case ast.BinOp() if type(node.op) in ARITHMETIC:
                function = ARITHMETIC[type(node.op)]
                left = self._operand(node.left, {"number", "column"}, "arithmetic")
                right = self._operand(node.right, {"number", "column"}, "arithmetic")
                return "number", lambda columns: _plain(function(left(columns), right(columns)))
            case ast.BoolOp():
                function = LOGIC[type(node.op)]
                parts = [self._operand(value, {"truth"}, "and, or") for value in node.values]
                return "truth", lambda columns: reduce(function, [p(columns) for p in parts])
            case ast.Compare():
                return "truth", self._comparison(node)
            case ast.Call():
                return "number", self._call(node)
        raise self._error(f"{type(node).__name__} is not allowed; {GRAMMAR}")

    def _operand(self, node: ast.AST, kinds: set[str], user: str) -> Compiled:
        kind, compiled = self._compile(node)
        if kind not in kinds:
            wanted = "conditions" if "truth" in kinds else "numbers and columns"
            raise self._error(f"{user}: takes {wanted}, not '{ast.unparse(node)}'")
        return compiled

    def _constant(self, value: Any) -> tuple[str, Compiled]:
        if isinstance(value, str):
            return "text", lambda columns: value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(f"the constant {value!r} is not allowed; {GRAMMAR}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            raise self._error("holds a number that is too large")
        return "number", lambda columns: number

    def _comparison(self, node: ast.Compare) -> Compiled:
        if unknown := [op for op in node.ops if type(op) not in COMPARISONS]:
            raise self._error(f"{type(unknown[0]).__name__} is not allowed; {GRAMMAR}")
        compare = [COMPARISONS[type(op)] for op in node.ops]
        sides = [
            self._operand(side, {"number", "text", "column"}, "a comparison")
            for side in (node.left, *node.comparators)
        ]

        def evaluate(columns: Columns) -> np.ndarray:
            values = [side(columns) for side in sides]
            links = map(self._compare, compare, values[:-1], values[1:])
            return reduce(np.logical_and, links)

        return evaluate

    def _compare(self, compare: Callable, left: Any, right: Any) -> np.ndarray:
        if _is_text(left) != _is_text(right):
            raise self._error("compares text with numbers")
        result = np.asarray(compare(left, right), dtype=bool)
        if compare is operator.ne and not _is_text(left):
            result &= ~(np.isnan(left) | np.isnan(right))
        return result

    def _call(self, node: ast.Call) -> Compiled:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name not in FUNCTIONS:
            raise self._error(f"no function '{name}'; {nearest(name, FUNCTIONS)}")
        function, least, most = FUNCTIONS[name]
        count = len(node.args)
        starred = any(isinstance(argument, ast.Starred) for argument in node.args)
        if node.keywords or starred or count < least or (most is not None and count > most):
            raise self._error(f"{name}() takes {'one argument' if most else 'two or more'}")
        arguments = [self._operand(a, {"number", "column"}, f"{name}()") for a in node.args]
        if most == 1:
            return lambda columns: _plain(function(arguments[0](columns)))
        return lambda columns: _plain(reduce(function, [a(columns) for a in arguments]))


def _plain(value: Any) -> Any:
    """Give a number its Python type: only such a one takes the precision of a column."""
    return float(value) if np.ndim(value) == 0 else value


def _is_text(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "OUST"
