import copy
from types import SimpleNamespace

import numpy as np
import pyhf
import pytest
from test_limits import counting_workspace, full_workspace

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.inference.impacts import (
    bin_count,
    impact_rows,
    uncertainty_names,
    with_bins,
    with_floating_background,
    without,
)
from cwolaflow.inference.limits import expected_limit
from cwolaflow.inference.pulls import asimov_pulls

LABELS = {
    "analysis": "m_jj",
    "supervision": "none",
    "met_cut_gev": 200,
    "luminosity_fb": 36,
    "seed": None,
}


def test_uncertainties_have_their_names():
    assert uncertainty_names(full_workspace()) == [
        "xs_z_qcd", "luminosity", "simulation", "xs_vbf_hinv", "xs_ggf_hinv"
    ]  # fmt: skip


def test_without_leaves_the_workspace_and_takes_out_the_parameter():
    workspace = full_workspace()
    before = copy.deepcopy(workspace)
    parameters = pyhf.Workspace(without(workspace, ["luminosity"])).model().config.par_order
    assert workspace == before
    assert "luminosity" not in parameters
    assert "xs_z_qcd" in parameters
    bare = pyhf.Workspace(without(workspace, uncertainty_names(workspace))).model()
    assert bare.config.par_names == ["br_hinv"]


def test_unknown_uncertainty_is_named():
    with pytest.raises(ConfigError, match="'jes': the model has xs_z_qcd, luminosity"):
        without(full_workspace(), ["jes"])


def test_merged_bins_by_hand():
    workspace = with_bins(full_workspace(), 2)
    samples = {sample["name"]: sample for sample in workspace["channels"][0]["samples"]}
    assert samples["z_qcd"]["data"] == [1200.0, 110.0]
    assert workspace["observations"][0]["data"] == [1200.0, 110.0]
    errors = next(m for m in samples["z_qcd"]["modifiers"] if m["type"] == "staterror")["data"]
    np.testing.assert_allclose(errors, np.sqrt([600.0, 55.0]))
    pyhf.Workspace(workspace).model()


def test_merged_bins_merge_shape_variations():
    shift = {"hi_data": [55.0, 46.0, 3.0], "lo_data": [46.0, 57.0, 1.0]}
    modifiers = [{"name": "scale", "type": "histosys", "data": shift}]
    workspace = with_bins(counting_workspace([1.0, 2, 3], [50.0, 52, 2], modifiers), 2)
    background = workspace["channels"][0]["samples"][1]
    assert background["modifiers"][0]["data"] == {"hi_data": [101.0, 3.0], "lo_data": [103.0, 1.0]}


def test_bins_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="4 bins into 5"):
        with_bins(full_workspace(), 5)


def test_merging_equal_bins_of_a_counting_experiment_changes_nothing():
    fine = counting_workspace([5.0, 5.0], [50.0, 50.0])
    assert expected_limit(with_bins(fine, 1)).median == pytest.approx(
        expected_limit(fine).median, rel=1e-4
    )


def test_floating_background_is_a_very_uncertain_cross_section():
    workspace = full_workspace()
    loose = copy.deepcopy(workspace)
    modifiers = loose["channels"][0]["samples"][0]["modifiers"]
    normsys = next(m for m in modifiers if m["name"] == "xs_z_qcd")
    normsys["data"] = {"hi": 2.0, "lo": 0.5}
    assert expected_limit(with_floating_background(workspace)).median == pytest.approx(
        expected_limit(loose).median, rel=2e-2
    )


def test_impact_rows():
    rows = impact_rows([LABELS], [full_workspace()], 0.95)
    table = {row["variation"]: row for row in rows}
    assert list(table) == [
        "all", "without_xs_z_qcd", "without_luminosity", "without_simulation",
        "without_xs_vbf_hinv", "without_xs_ggf_hinv", "without_cross_sections", "statistics_only",
        "floating_background", "half_the_bins", "one_bin", "common_bins",
    ]  # fmt: skip
    assert table["all"]["ratio_to_all"] == 1
    assert table["all"]["median_limit"] == pytest.approx(expected_limit(full_workspace()).median)
    ratios = {name: row["ratio_to_all"] for name, row in table.items()}
    assert all(ratios[name] <= 1 + 1e-4 for name in ratios if name.startswith("without"))
    assert ratios["statistics_only"] == min(ratios.values())
    assert ratios["floating_background"] > 1
    assert 1 < ratios["half_the_bins"] < ratios["one_bin"]
    assert [table[name]["bins"] for name in ("all", "half_the_bins", "one_bin")] == [4, 2, 1]


def test_common_bins_are_those_of_the_coarsest_analysis():
    seen = []

    def limit(workspace, level):
        seen.append(bin_count(workspace))
        return SimpleNamespace(median=1.0)

    workspaces = [full_workspace(), with_bins(full_workspace(), 3)]
    rows = impact_rows([LABELS, LABELS], workspaces, 0.95, limit)
    assert [row["bins"] for row in rows if row["variation"] == "common_bins"] == [3, 3]
    assert seen == [row["bins"] for row in rows]


def test_a_changed_model_without_limit_has_an_empty_cell():
    def limit(workspace, level):
        if bin_count(workspace) == 1:
            raise StatisticsError("no limit")
        return SimpleNamespace(median=0.5)

    rows = impact_rows([LABELS], [full_workspace()], 0.95, limit)
    assert [row["variation"] for row in rows if np.isnan(row["median_limit"])] == ["one_bin"]


def gaussian_workspace(background, relative):
    modifiers = [
        {"name": "rate", "type": "normsys", "data": {"hi": 1 + relative, "lo": 1 / (1 + relative)}}
    ]
    return counting_workspace([10.0, 0.0], [background, background], modifiers)


def test_pulls_of_a_control_bin_in_closed_form():
    """The second bin measures the background, the first the signal."""
    background, relative = 1e6, 0.002
    pulls = asimov_pulls(gaussian_workspace(background, relative), tested=0.0).iloc[0]
    assert pulls["parameter"] == "rate"
    assert pulls["pull"] == pytest.approx(0, abs=1e-6)
    step = np.log1p(relative)
    assert pulls["uncertainty"] == pytest.approx(1 / np.sqrt(1 + background * step**2), rel=1e-4)
    assert pulls["correlation_with_poi"] < 0
    assert pulls["pull_at_tested"] == pytest.approx(0, abs=1e-6)


def test_a_signal_that_is_not_there_pulls_the_background_down():
    background, relative, mu = 1e6, 0.002, 50.0
    pulls = asimov_pulls(gaussian_workspace(background, relative), tested=mu).iloc[0]
    step = np.log1p(relative)
    # Least squares: the first bin has mu * 10 events too many, both bins and the constraint resist.
    expected = -mu * 10 * step / (1 + 2 * background * step**2)
    assert pulls["pull_at_tested"] == pytest.approx(expected, rel=5e-3)


def test_injected_signal_is_found_without_pulls():
    pulls = asimov_pulls(full_workspace(), tested=0.3, injected=0.3)
    np.testing.assert_allclose(pulls["pull"], 0, atol=1e-4)
    np.testing.assert_allclose(pulls["pull_at_tested"], 0, atol=1e-4)
    assert (pulls["uncertainty"] <= 1 + 1e-6).all()
    assert "staterror_m_jj[0]" in set(pulls["parameter"])
