import numpy as np
import pandas as pd
import pytest

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.seeds import derive_seed
from cwolaflow.selection.folds import assign_folds
from cwolaflow.selection.regions import (
    assign_regions,
    flavour_category,
    in_regions,
    region_yields,
)

TABLE = pd.DataFrame(
    {
        "flavour_category": ["2q0g", "1q1g", "0q2g", "2q0g"],
        "m_jj": np.array([300, 500, 700, 900], dtype=np.float32),
    }
)


def test_flavour_category_counts_everything_but_21_as_quark():
    first = np.array([1, 21, 5, 21, 0, 21, 0], dtype=np.int32)
    second = np.array([2, 3, 21, 21, 0, 0, 21], dtype=np.int32)
    expected = ["2q0g", "1q1g", "1q1g", "0q2g", "2q0g", "1q1g", "1q1g"]
    assert flavour_category(first, second).tolist() == expected


@pytest.mark.parametrize(
    ("unmatched_jets", "expected"),
    [
        ("quark", ["2q0g", "1q1g", "2q0g", "1q1g", "0q2g", "2q0g"]),
        ("gluon", ["2q0g", "1q1g", "1q1g", "0q2g", "0q2g", "0q2g"]),
        ("excluded", ["2q0g", "1q1g", "unmatched", "unmatched", "0q2g", "unmatched"]),
    ],
)
def test_what_a_jet_without_a_parton_counts_as(unmatched_jets, expected):
    first = np.array([1, 21, 0, 0, 21, 0], dtype=np.int32)
    second = np.array([4, 3, 5, 21, 21, 0], dtype=np.int32)
    categories = flavour_category(first, second, unmatched_jets)
    assert categories.tolist() == expected
    assert flavour_category(second, first, unmatched_jets).tolist() == expected


def test_an_excluded_event_is_in_no_region_whatever_the_region():
    table = TABLE.assign(flavour_category=["2q0g", "unmatched", "0q2g", "unmatched"])
    for regions in (
        {"SR": "flavour_category == '2q0g'", "SB": "flavour_category != '2q0g'"},
        {"SR": "m_jj < 600", "SB": "m_jj >= 600"},
    ):
        assert assign_regions(table, regions).tolist() == ["SR", "", "SB", ""]


def test_an_unknown_choice_for_unmatched_jets():
    with pytest.raises(ConfigError, match=r"unmatched_jets: 'glue' is unknown; choose from quark"):
        flavour_category(np.array([1]), np.array([0]), "glue")


def test_regions_of_hinv(hinv):
    regions = assign_regions(TABLE, hinv["select"]["regions"])
    assert regions.tolist() == ["SR", "SB", "SB", "SR"]


def test_events_in_no_region():
    regions = {"SR": "400 < m_jj < 600", "SB": "m_jj > 700"}
    assert assign_regions(TABLE, regions).tolist() == ["", "SR", "", "SB"]


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({"SR": "m_jj > 400", "SB": "m_jj > 600"}, r"select\.regions: 2 events lie in SB .* in SR"),
        ({"SR": "mjj > 400"}, r"select\.regions\.SR: .*no column 'mjj'; did you mean 'm_jj'\?"),
        ({"SR": "m_jj - 400"}, r"select\.regions\.SR: .*no condition"),
        ({"SR": "m_jj >"}, r"select\.regions\.SR"),
    ],
)
def test_regions_that_make_no_sense(regions, message):
    with pytest.raises(ConfigError, match=message):
        assign_regions(TABLE, regions)


def test_an_unknown_column_is_an_error_without_events_too():
    with pytest.raises(ConfigError, match="did you mean"):
        assign_regions(TABLE.iloc[:0], {"SR": "mjj > 1"})


def test_region_yields_by_hand_and_an_empty_region_is_named():
    events = pd.DataFrame(
        {
            "sample": ["a", "a", "a", "b"],
            "process": ["z_qcd"] * 4,
            "region": ["SR", "SR", "SB", ""],
            "flavour_category": ["2q0g", "2q0g", "1q1g", "0q2g"],
            "weight_fb": [1.0, 2.0, 4.0, 8.0],
        }
    )
    regions = {"SR": "m_jj > 1000", "SB": "m_jj <= 1000"}
    assert region_yields(events, regions).to_numpy().tolist() == [
        ["a", "z_qcd", "SB", "1q1g", 1, 4.0],
        ["a", "z_qcd", "SR", "2q0g", 2, 3.0],
        ["b", "z_qcd", "", "0q2g", 1, 8.0],
    ]
    with pytest.raises(StatisticsError, match=r"select\.regions\.SR: 'm_jj > 1000' .* a, b"):
        region_yields(events[events["region"] != "SR"], regions)


REGION = np.array(["SR"] * 103 + ["SB"] * 57 + [""] * 11, dtype=object)


def test_folds_are_balanced_within_each_region():
    fold = assign_folds(REGION, "z", 5, 2008)
    assert fold.dtype == np.int8
    for name in ("SR", "SB", ""):
        sizes = np.bincount(fold[name == REGION], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    # At random: not in the order of the events.
    assert np.any(fold[:103] != np.arange(103) % 5)


def test_folds_depend_on_seed_and_sample_and_nothing_else():
    fold = assign_folds(REGION, "z", 5, 2008)
    assert np.array_equal(fold, assign_folds(REGION, "z", 5, 2008))
    assert not np.array_equal(fold, assign_folds(REGION, "z", 5, 2009))
    assert not np.array_equal(fold, assign_folds(REGION, "w", 5, 2008))
    # The events of another region leave a region's folds alone.
    only_sr = assign_folds(REGION[:103], "z", 5, 2008)
    assert np.array_equal(fold[:103], only_sr)


def test_folds_of_few_events():
    assert assign_folds(np.array([], dtype=object), "z", 5, 1).tolist() == []
    assert sorted(assign_folds(np.array(["SR"] * 3, dtype=object), "z", 5, 1)) == [0, 1, 2]


def test_seeds_are_the_same_everywhere_and_differ():
    assert derive_seed(2008, "folds", "znunu_qcd", "SR") == 463304637357732837
    seeds = {
        derive_seed(1, "a"),
        derive_seed(2, "a"),
        derive_seed("1", "a"),
        derive_seed(1, "a", ""),
    }
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_variant_has_regions_of_its_own():
    table = pd.DataFrame({"region": ["SR", "SB", ""], "m_jj": [500.0, 1500.0, 2500.0]})
    other = in_regions(table, {"SR": "m_jj > 2000", "SB": "m_jj < 1000"})
    assert other["region"].tolist() == ["SB", "", "SR"]
    assert table["region"].tolist() == ["SR", "SB", ""]
    assert in_regions(table, None) is table
