"""``vector`` without its symbolic part, which would import sympy.

That takes as long as all other imports of a skim together, and nothing here computes with symbols.
"""

import importlib
import sys
from types import ModuleType


def _import_without_sympy() -> ModuleType:
    # None makes `import sympy` fail, and vector does as if it were not installed.
    hidden = sys.modules.setdefault("sympy", None) is None
    try:
        return importlib.import_module("vector")
    finally:
        if hidden:
            del sys.modules["sympy"]


vector = _import_without_sympy()
