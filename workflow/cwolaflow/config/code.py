"""A hash of the library code that a script uses, for exact reruns.

Snakemake reruns a job when its script changes, but does not look at what the script imports. Rules
therefore carry this hash among their ``params``.
"""

import ast
import hashlib
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def _module_file(name: str) -> Path | None:
    """File of a module of this package, or None for a name that is no module."""
    path = PACKAGE.joinpath(*name.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imported_modules(tree: ast.AST, package: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package or None)
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    own = {name for name in names if name.split(".")[0] == PACKAGE.name}
    # Importing a.b.c also runs a/b/__init__.py.
    own |= {name.rsplit(".", depth)[0] for name in own for depth in range(1, name.count("."))}
    return {name for name in own if name != PACKAGE.name and _module_file(name)}


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            node.body = body[1:]
    return tree


@cache
def _parse(path: Path) -> tuple[str, frozenset[str]]:
    """Code without comments and docstrings, and the modules of the package that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ""
    if path.is_relative_to(PACKAGE):
        package = ".".join((PACKAGE.name, *path.relative_to(PACKAGE).parts[:-1]))
    modules = frozenset(_imported_modules(tree, package))
    return ast.unparse(_without_docstrings(tree)), modules


def code_version(script: str | Path) -> str:
    """Hash the library modules that a script imports, directly or through other modules.

    Comments, docstrings and layout do not count; neither does the script itself, which Snakemake
    watches.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    pending = set(_parse(Path(script).resolve())[1])
    found: dict[str, str] = {}
    while pending:
        module = pending.pop()
        code, imports = _parse(_module_file(module))
        found[module] = code
        pending |= imports - found.keys()
    text = "\n".join(f"# {module}\n{found[module]}" for module in sorted(found))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
