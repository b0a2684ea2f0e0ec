"""Events of M1 and M2 of vbf_ggf: cross section times branching fraction, selection and luminosity."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cwolaflow.config.samples import load_samples
from cwolaflow.learning.mixtures import draw_mixtures
from cwolaflow.normalisation import weights_fb
from cwolaflow.representation.events import build_event_table
from cwolaflow.selection.regions import region_yields
from cwolaflow.selection.skim import skim_files

ROOT = Path(__file__).parents[2]
LUMINOSITIES = (100, 300, 900, 1800, 3000)
SIGMA_BR_FB = {"vbf": 4278 * 2.270e-3, "ggf": 54670 * 2.270e-3}
ROLES = {"vbf": "signal", "ggf": "background"}

# Published for h -> gamma gamma (arXiv:2511.18726 and its code): of 10,000 events, those with two
# quark jets and the other selected ones, and the numbers of M1 and M2 that follow at 3000 fb^-1.
PUBLISHED_OF_10000 = {"vbf": (3511, 548), "ggf": (452, 453)}
PUBLISHED_AT_3000 = {"vbf": (10228, 1596), "ggf": (16828, 16865)}


@pytest.fixture(scope="module")
def rows():
    table = ROOT / "config/samples/vbf_ggf.tsv"
    samples = load_samples(table, ROLES, produced=("vbf_haa", "ggf_haa"))
    return {sample.process: sample.row for sample in samples.values()}


@pytest.fixture(scope="module")
def real_events(rows, vbf_ggf, diphoton_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("skims")
    tables = []
    for process, role in ROLES.items():
        path = folder / f"{process}.parquet"
        cutflow = skim_files([diphoton_files[f"{process}_haa"]], vbf_ggf["skim"], path)
        tables.append(
            build_event_table(path, cutflow, rows[process], role, vbf_ggf["select"], seed=1)
        )
    return pd.concat(tables, ignore_index=True)


def test_the_published_numbers_follow_from_the_published_cutflow(rows):
    for process, in_regions in PUBLISHED_OF_10000.items():
        for selected, published in zip(in_regions, PUBLISHED_AT_3000[process], strict=True):
            expected = 3000 * weights_fb(np.ones(selected), 10000, rows[process]).sum()
            assert int(expected) == published


def test_yields_of_real_events_by_hand(real_events, vbf_ggf):
    # Of 300 events of each process; see test_skim for the cutflow.
    selected = {("vbf", "SR"): 88, ("vbf", "SB"): 29, ("ggf", "SR"): 13, ("ggf", "SB"): 21}
    yields = region_yields(real_events, vbf_ggf["select"]["regions"])
    yields = yields.groupby(["process", "region"])[["events", "weighted_fb"]].sum()
    for (process, region), number in selected.items():
        assert yields["events"][process, region] == number
        for luminosity in LUMINOSITIES:
            expected = SIGMA_BR_FB[process] * luminosity * number / 300
            assert luminosity * yields["weighted_fb"][process, region] == pytest.approx(expected)


@pytest.mark.parametrize("luminosity", [0.5, 1, 2.3])
def test_mixtures_have_the_expected_numbers(real_events, luminosity):
    settings = {"signal_scale": 1.0, "numbers": "rounded", "shortfall": "error"}
    offered = np.ones(len(real_events), dtype=bool)
    drawn = draw_mixtures(real_events, offered, luminosity, settings, seed=1)
    table = real_events.iloc[drawn.rows].assign(m1=drawn.labels == 1)
    found = table.groupby(["process", "m1"]).size()
    for (process, m1), number in {
        ("vbf", True): 88, ("vbf", False): 29, ("ggf", True): 13, ("ggf", False): 21
    }.items():  # fmt: skip
        expected = SIGMA_BR_FB[process] * luminosity * number / 300
        assert abs(found.get((process, m1), 0) - expected) <= 0.5
