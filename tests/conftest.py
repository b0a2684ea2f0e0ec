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


@pytest.fixture(scope="session")
def diphoton_files() -> dict[str, Path]:
    """Real Delphes files of h -> gamma gamma at 14 TeV by sample: 300 events each, as they come.

    Jets of R = 0.5 above 20 GeV, without the branches that nothing here reads.
    """
    files = sorted(REPOSITORY.glob("tests/data/delphes_14tev/*.root"))
    return {path.stem: path for path in files}


@pytest.fixture(scope="session")
def vbf_ggf() -> dict:
    """The vbf_ggf study as it stands in its file."""
    return yaml.safe_load((REPOSITORY / "config/studies/vbf_ggf.yaml").read_text(encoding="utf-8"))
