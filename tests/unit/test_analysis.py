"""Which events a fit takes."""

import numpy as np
import pandas as pd
import pytest

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.inference.analysis import analyse, analyse_each

LIMITS = {
    "poi": "mu",
    "confidence_level": 0.95,
    "luminosity_uncertainty": 0.02,
    "cross_section_uncertainty": {"background": 0.1, "signal": 0.1},
    "max_bin_error": 0.5,
}
ROLES = {"background": "background", "signal": "signal"}
BINNING = {"bins": 2, "range": [0, 2], "met_cut_gev": 0}


@pytest.fixture
def events():
    """100 background events in SR and 300 in SB, 100 signal events in each, of weight 0.1."""
    processes = np.repeat(["background", "signal"], [400, 200])
    return pd.DataFrame(
        {
            "process": processes,
            "label": (processes == "signal").astype(np.int8),
            "weight_fb": 0.1,
            "region": np.repeat(["SR", "SB", "SR", "SB"], [100, 300, 100, 100]),
            "missing_et": np.float32(5),
            "score": np.tile(np.float32([0.5, 1.5]), 300),
        }
    )


def fitted(events, **binning):
    analysis = analyse(events, "score", BINNING | binning, 2.0, LIMITS, ROLES, "channel", 1)
    samples = analysis.workspace["channels"][0]["samples"]
    return {sample["name"]: sample["data"] for sample in samples}


def test_a_fit_takes_only_events_that_fulfil_its_condition(events):
    assert fitted(events)["background"] == pytest.approx([40, 40])
    chosen = fitted(events, require="region == 'SR'")
    assert chosen["background"] == pytest.approx([10, 10])
    assert chosen["signal"] == pytest.approx([10, 10])


def test_a_condition_adds_to_the_missing_et_cut(events):
    events.loc[: 50 - 1, "missing_et"] = np.float32(3)
    chosen = fitted(events, require="region == 'SR'", met_cut_gev=4)
    assert chosen["background"] == pytest.approx([5, 5])


def test_each_luminosity_has_the_analysis_that_it_has_alone(events):
    settings = {
        "events": events,
        "variable": "score",
        "binning": BINNING,
        "limits": LIMITS,
        "roles": ROLES,
        "channel": "channel",
        "seed": 1,
    }
    fits = list(analyse_each([2, 8], {"analysis": "toy"}, **settings))
    assert [limit["luminosity_fb"] for limit, _ in fits] == [2.0, 8.0]
    for limit, workspace in fits:
        alone = analyse(luminosity_fb=limit["luminosity_fb"], **settings)
        assert workspace == alone.workspace
        assert (
            limit == {"analysis": "toy", "luminosity_fb": limit["luminosity_fb"]} | alone.summary()
        )
    assert fits[1][0]["median"] < fits[0][0]["median"]
    assert [workspace["observations"][0]["data"] for _, workspace in fits] == [
        pytest.approx([40, 40]),
        pytest.approx([160, 160]),
    ]


@pytest.mark.parametrize(
    ("require", "error", "words"),
    [
        ("score", ConfigError, "no condition"),
        ("scor > 1", ConfigError, "did you mean 'score'"),
        ("region == 'SR' and label == 0", StatisticsError, "'signal' has missing_et > 0"),
    ],
)
def test_a_wrong_condition_is_named(events, require, error, words):
    with pytest.raises(error, match=words):
        fitted(events, require=require)
