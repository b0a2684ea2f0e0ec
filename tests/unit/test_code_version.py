"""The hash that stands for the library code behind a script."""

import textwrap

import pytest

from cwolaflow.config import code


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of four modules and two scripts; returns the folder and the hash function."""
    root = tmp_path / "cwolaflow"
    files = {
        "__init__.py": "",
        "kinematics.py": '"""Doc."""\nTWO_PI = 6.28\n',
        "selection/__init__.py": "",
        "selection/cuts.py": "from cwolaflow.kinematics import TWO_PI\n\n\ndef cut():\n    return TWO_PI\n",
        "plotting/__init__.py": "",
        "plotting/style.py": "import math\n",
        "../select.py": "from cwolaflow.selection import cuts\n",
        "../plot.py": "def draw():\n    from cwolaflow.plotting.style import math\n    return math\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(code, "PACKAGE", root)

    def version(script):
        code._parse.cache_clear()
        return code.code_version(tmp_path / script)

    return root, version


def test_a_changed_module_changes_its_users_only(package):
    root, version = package
    select, plot = version("select.py"), version("plot.py")
    assert select != plot
    (root / "kinematics.py").write_text("TWO_PI = 6.283\n")
    assert version("select.py") != select
    assert version("plot.py") == plot


def test_a_lazy_import_counts(package):
    root, version = package
    before = version("plot.py")
    (root / "plotting/style.py").write_text("import math\nWIDTH = 3\n")
    assert version("plot.py") != before


def test_a_lazy_import_of_a_module_counts(package):
    root, version = package
    lazy = "def cut():\n    from cwolaflow.plotting.style import math\n    return math.pi\n"
    (root / "selection/cuts.py").write_text(lazy)
    before = version("select.py")
    (root / "plotting/style.py").write_text("import math\nWIDTH = 3\n")
    assert version("select.py") != before


def test_a_package_init_counts(package):
    root, version = package
    before = version("select.py")
    (root / "selection/__init__.py").write_text("NAME = 1\n")
    assert version("select.py") != before


def test_comments_docstrings_and_layout_do_not_count(package):
    root, version = package
    before = version("select.py")
    (root / "kinematics.py").write_text('"""Other."""\n\n# why\nTWO_PI   =   6.28\n')
    (root / "selection/cuts.py").write_text(
        textwrap.dedent(
            '''
            from cwolaflow.kinematics import TWO_PI
            def cut():
                """Say it."""
                return TWO_PI  # radians
            '''
        )
    )
    assert version("select.py") == before
