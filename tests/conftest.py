"""Fixtures of all tests; being here also puts this folder on the import path."""

from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def delphes_files() -> dict[str, Path]:
    """The carried real Delphes files by sample."""
    return {path.stem: path for path in sorted(REPOSITORY.glob("tests/data/delphes/*.root"))}


@pytest.fixture(scope="session")
def hinv() -> dict:
    """The hinv study as it stands in its file."""
    return yaml.safe_load((REPOSITORY / "config/studies/hinv.yaml").read_text(encoding="utf-8"))
