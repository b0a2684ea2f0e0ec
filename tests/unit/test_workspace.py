import json

import numpy as np
import pyhf
import pytest

from cwolaflow.errors import ConfigError, InputError, StatisticsError
from cwolaflow.files import write_json
from cwolaflow.inference.binning import Templates
from cwolaflow.inference.limits import expected_limit
from cwolaflow.inference.workspace import build_workspace, read_workspace

UNCERTAINTY = {"z_qcd": 0.05, "w_qcd": 0.1, "vbf_hinv": 0.03}


def make_templates(**changes):
    counts = {
        "z_qcd": np.array([100.0, 40.0, 0.0]),
        "w_qcd": np.array([50.0, 30.0, 10.0]),
        "vbf_hinv": np.array([0.0, 12.0, 20.0]),
    }
    counts |= changes
    return Templates(
        edges=np.array([200.0, 500.0, 1000.0, 4000.0]),
        counts=counts,
        variances={name: 0.25 * np.abs(count) for name, count in counts.items()},
    )


def build(templates=None, **changes):
    arguments = {
        "signals": ["vbf_hinv"],
        "channel": "m_jj",
        "poi": "br_hinv",
        "cross_section_uncertainty": UNCERTAINTY,
        "luminosity_uncertainty": 0.025,
    }
    return build_workspace(templates or make_templates(), **(arguments | changes))


def expected_in_bins(model, **settings):
    named = dict(zip(model.config.par_names, model.config.suggested_init(), strict=True))
    named.update(settings)
    return np.asarray(model.expected_actualdata([named[name] for name in model.config.par_names]))


def test_is_a_valid_pyhf_workspace():
    workspace = pyhf.Workspace(build())
    model = workspace.model()
    assert workspace["version"] == "1.0.0"
    assert model.config.poi_name == "br_hinv"
    assert model.config.samples == sorted(UNCERTAINTY)
    assert set(model.config.parameters) == {
        "br_hinv",
        "luminosity",
        "xs_z_qcd",
        "xs_w_qcd",
        "xs_vbf_hinv",
        "staterror_m_jj",
        "staterror_signal_m_jj",
    }


def test_observation_is_the_expected_background():
    workspace = build()
    assert workspace["observations"] == [{"name": "m_jj", "data": [150.0, 70.0, 10.0]}]


def test_expected_events_follow_the_parameters():
    model = pyhf.Workspace(build()).model()
    templates = make_templates().counts
    background = templates["z_qcd"] + templates["w_qcd"]
    signal = templates["vbf_hinv"]
    np.testing.assert_allclose(expected_in_bins(model, br_hinv=0.0), background)
    np.testing.assert_allclose(expected_in_bins(model, br_hinv=0.5), background + 0.5 * signal)
    np.testing.assert_allclose(
        expected_in_bins(model, br_hinv=1.0, luminosity=1.0), 1.025 * (background + signal)
    )
    np.testing.assert_allclose(
        expected_in_bins(model, br_hinv=1.0, luminosity=-1.0), (background + signal) / 1.025
    )
    np.testing.assert_allclose(
        expected_in_bins(model, br_hinv=0.0, xs_w_qcd=1.0),
        templates["z_qcd"] + 1.1 * templates["w_qcd"],
    )


def test_log_normal_holds_between_and_beyond_one_sigma():
    model = pyhf.Workspace(build()).model()
    templates = make_templates().counts
    for pull in (-2.5, -0.5, 0.3, 2.0):
        np.testing.assert_allclose(
            expected_in_bins(model, br_hinv=0.0, xs_z_qcd=pull),
            1.05**pull * templates["z_qcd"] + templates["w_qcd"],
            rtol=1e-6,
        )


def test_simulation_error_of_the_background_is_not_diluted_by_the_signal():
    model = pyhf.Workspace(build()).model()
    background = np.array([150.0, 70.0, 10.0])
    np.testing.assert_allclose(
        model.config.param_set("staterror_m_jj").sigmas, np.sqrt(0.25 * background) / background
    )
    sigmas = model.config.param_set("staterror_signal_m_jj").sigmas
    np.testing.assert_allclose(sigmas[1:], [0.5 / np.sqrt(12), 0.5 / np.sqrt(20)])
    assert model.config.param_set("staterror_signal_m_jj").suggested_fixed == [True, False, False]


def test_simulation_error_widens_the_limit():
    def median(relative):
        templates = make_templates()
        for name, count in templates.counts.items():
            templates.variances[name][:] = (relative * count) ** 2
        return expected_limit(build(templates)).median

    assert median(0.0) < median(0.1) < median(0.3)


@pytest.mark.parametrize("scale", [1e-2, 1, 1e3])
def test_limit_lies_inside_the_bounds(scale):
    templates = make_templates()
    for name in templates.counts:
        templates.counts[name][:] *= scale
        templates.variances[name][:] *= scale**2
    workspace = build(templates)
    parameter = workspace["measurements"][0]["config"]["parameters"][0]
    ((low, high),) = parameter["bounds"]
    limit = expected_limit(workspace)
    assert low < limit.minus_2sigma < limit.plus_2sigma < high
    assert high >= 1


def test_round_trip(tmp_path):
    path = tmp_path / "limits" / "workspace.json"
    write_json(path, build())
    assert read_workspace(path) == build()


@pytest.mark.parametrize("content", ["{", json.dumps({"version": "1.0.0"})])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "workspace.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"workspace\.json.*delete it and run again") as error:
        read_workspace(path)
    assert "\n" not in str(error.value)


def test_bin_without_background_is_named():
    templates = make_templates(w_qcd=np.array([50.0, 30.0, 0.0]))
    with pytest.raises(StatisticsError, match=r"channel m_jj: 0 background .* 1000 and 4000"):
        build(templates)


def test_negative_signal_bin_is_named():
    templates = make_templates(vbf_hinv=np.array([20.0, 30.0, -11.0]))
    with pytest.raises(StatisticsError, match=r"signal -11 events between 1000 and 4000"):
        build(templates)


def test_no_signal_events():
    with pytest.raises(StatisticsError, match="signal adds up to 0 expected events"):
        build(make_templates(vbf_hinv=np.zeros(3)))


def test_missing_uncertainty_is_named():
    with pytest.raises(ConfigError, match=r"limits\.cross_section_uncertainty lacks w_qcd"):
        build(cross_section_uncertainty={"z_qcd": 0.05, "vbf_hinv": 0.03})


@pytest.mark.parametrize(
    ("signals", "role"), [([], "signal"), (["z_qcd", "w_qcd", "vbf_hinv"], "background")]
)
def test_both_roles_are_needed(signals, role):
    with pytest.raises(ConfigError, match=f"has no {role}"):
        build(signals=signals)
