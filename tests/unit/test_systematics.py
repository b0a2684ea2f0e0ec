"""Shape uncertainties: from pixels to scores, templates and workspace."""

import numpy as np
import pandas as pd
import pyhf
import pytest
import torch
from test_config import one_line, write_study
from test_workspace import build, expected_in_bins, make_templates

from cwolaflow.config.plan import Limit, diagnosed, shape_systematics
from cwolaflow.config.study import load_study
from cwolaflow.errors import ConfigError, InputError
from cwolaflow.inference.analysis import analyse
from cwolaflow.inference.binning import Shift
from cwolaflow.learning.crossfit import TrainedEnsemble, score_crossfit
from cwolaflow.learning.inputs import FeatureTable
from cwolaflow.learning.systematics import score_energy_scale
from cwolaflow.models import build_model
from cwolaflow.representation.images import SparseImages

LIMITS = {
    "poi": "br_hinv",
    "confidence_level": 0.95,
    "luminosity_uncertainty": 0.025,
    "cross_section_uncertainty": {"z_qcd": 0.05, "vbf_hinv": 0.03},
    "max_bin_error": 0.15,
}
ROLES = {"z_qcd": "background", "vbf_hinv": "signal"}
MODEL = {"name": "cnn", "filters": 2, "kernel": 2, "blocks": 1, "dense": [3]}


def made_images(values):
    offsets = np.array([0, 2, 3, 6])
    pixels = np.array([0, 7, 11, 3, 20, 40], np.int32)
    return SparseImages(offsets, pixels, np.array(values, np.float32), 8, 6, 1)


VALUES = [20.0, 5.0, 70.0, 12.0, 3.0, 44.0]
EVENTS = pd.DataFrame({"sample": "vbf", "event_id": [4, 5, 9], "fold": [0, 1, 0]})


@pytest.fixture
def ensemble():
    torch.manual_seed(3)
    shape = made_images(VALUES).input_shape
    models = [build_model(MODEL, shape).eval() for _ in range(2)]
    scalers = [{"scale": torch.tensor(17.0)}, {"scale": torch.tensor(23.0)}]
    return TrainedEnsemble(models, scalers, MODEL, shape, [(0,), (1,)], 2)


def test_energy_scale_scores_are_those_of_scaled_towers(ensemble):
    scores = score_energy_scale(ensemble, made_images(VALUES), EVENTS, 0.1, device="cpu")
    assert list(scores) == ["sample", "event_id", "up", "down"]
    fold = EVENTS["fold"].to_numpy()
    nominal = score_crossfit(ensemble, made_images(VALUES), fold, device="cpu")
    for side, factor in (("up", 1.1), ("down", 0.9)):
        scaled = made_images([factor * value for value in VALUES])
        expected = score_crossfit(ensemble, scaled, fold, device="cpu")
        np.testing.assert_allclose(scores[side], expected, rtol=1e-5)
        # The scale of the training must not undo the shift.
        assert (np.abs(scores[side] - nominal) > 1e-5).any()


def test_energy_scale_of_features_is_refused(ensemble):
    with pytest.raises(ConfigError, match="classifiers that read images only"):
        score_energy_scale(ensemble, FeatureTable(torch.zeros(3, 2)), EVENTS, 0.1)


def made_shift():
    templates = make_templates()
    return Shift(
        up={name: np.roll(counts, 1) for name, counts in templates.counts.items()},
        down={
            name: 0.5 * (counts + np.roll(counts, -1)) for name, counts in templates.counts.items()
        },
    )


def test_workspace_has_the_shift_of_every_process_coherently():
    shift = made_shift()
    workspace = build(shifts={"jes": shift})
    model = pyhf.Workspace(workspace).model()
    assert model.config.par_order.count("jes") == 1
    for pull, side in ((1.0, shift.up), (-1.0, shift.down)):
        expected = side["z_qcd"] + side["w_qcd"] + 0.5 * side["vbf_hinv"]
        np.testing.assert_allclose(expected_in_bins(model, br_hinv=0.5, jes=pull), expected)
    for sample in workspace["channels"][0]["samples"]:
        (modifier,) = [m for m in sample["modifiers"] if m["type"] == "histosys"]
        assert modifier["data"]["hi_data"] == shift.up[sample["name"]].tolist()
        assert modifier["data"]["lo_data"] == shift.down[sample["name"]].tolist()


def test_pull_ends_before_a_bin_is_empty():
    templates = make_templates()
    shift = Shift(
        up={name: counts * [1.2, 0.6, 1.0] for name, counts in templates.counts.items()},
        down={name: counts * [0.98, 1.0, 1.0] for name, counts in templates.counts.items()},
    )
    parameters = build(shifts={"jes": shift})["measurements"][0]["config"]["parameters"]
    ((low, high),) = next(p for p in parameters if p["name"] == "jes")["bounds"]
    assert low == -5
    assert high == pytest.approx(0.99 / 0.4)


def made_events(n=400):
    rng = np.random.default_rng(5)
    process = np.repeat(list(ROLES), n)
    signal = process == "vbf_hinv"
    return pd.DataFrame(
        {
            "sample": process,
            "event_id": np.arange(2 * n),
            "process": process,
            "label": signal.astype(int),
            "weight_fb": np.where(signal, 0.3, 2.0),
            "missing_et": rng.uniform(180, 400, 2 * n),
            "score": rng.beta(np.where(signal, 4, 2), 2),
        }
    )


def fit(events, varied=None, **limits):
    binning = {"bins": 8, "met_cut_gev": 200}
    return analyse(
        events, "score", binning, 36, LIMITS | limits, ROLES, "ann", 1, varied or {}
    )  # fmt: skip


def varied_by(events, shift):
    score = events["score"]
    return events[["sample", "event_id"]].assign(up=score + shift, down=score - shift)


def test_shifted_templates_by_hand():
    events = made_events()
    workspace = fit(events, {"jes": varied_by(events, 0.1)}).workspace
    plain = fit(events).workspace
    passes = events["missing_et"] > 200
    for sample, nominal in zip(
        workspace["channels"][0]["samples"], plain["channels"][0]["samples"], strict=True
    ):
        assert sample["data"] == nominal["data"]
        (modifier,) = [m for m in sample["modifiers"] if m["type"] == "histosys"]
        chosen = events[passes & (events["process"] == sample["name"])]
        for side in ("hi_data", "lo_data"):
            # The cut is that of the nominal event: a shift of scores moves events between bins.
            total = 36 * chosen["weight_fb"].sum()
            assert sum(modifier["data"][side]) == pytest.approx(total)
        # Above the highest nominal score events stay in the last bin.
        lowest = modifier["data"]["hi_data"][0]
        assert lowest < sample["data"][0] < modifier["data"]["lo_data"][0]


def test_a_shift_that_moves_nothing_does_nothing_and_a_large_one_costs():
    events = made_events()
    plain = fit(events).limit.median
    assert fit(events, {"jes": varied_by(events, 0.0)}).limit.median == pytest.approx(
        plain, rel=1e-3
    )
    assert fit(events, {"jes": varied_by(events, 0.1)}).limit.median > 1.02 * plain


def test_other_events_are_refused():
    events = made_events()
    with pytest.raises(InputError, match="systematic 'jes': its 800 events are not the 800"):
        fit(events, {"jes": varied_by(events[::-1], 0.1)})


def test_switched_off_uncertainties_are_not_in_the_model():
    events = made_events()
    off = ["simulation", "luminosity", "jes_of_another_classifier"]
    analysis = fit(events, switched_off=off)
    parameters = pyhf.Workspace(analysis.workspace).model().config.par_order
    assert set(parameters) == {"br_hinv", "xs_z_qcd", "xs_vbf_hinv"}
    assert analysis.limit.median < fit(events).limit.median


def test_plan_of_systematics_and_diagnostics(tmp_path):
    jes = {"kind": "energy_scale", "size": 0.1, "classifiers": ["cnn_pj_lr"]}
    limits = {"systematics": {"jes": jes}, "diagnostics": {"impacts": ["m_jj", "cnn_pj_lr"]}}
    study = load_study(write_study(tmp_path, limits=limits, luminosities_fb=[36]))
    assert list(shape_systematics(study, "cnn_pj_lr")) == ["jes"]
    assert list(shape_systematics(study, "ann_h")) == []
    assert list(diagnosed(study, study["limits"]["diagnostics"]["impacts"])) == [
        Limit("m_jj", "none", "36", None),
        Limit("cnn_pj_lr", "supervised", "36", 0),
        Limit("cnn_pj_lr", "cwola", "36", 123),
    ]
    study["limits"]["switched_off"].append("jes")
    assert list(shape_systematics(study, "cnn_pj_lr")) == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"systematics": {"jes": {"kind": "energy_scale", "size": 0.1, "classifiers": ["part"]}}},
            "part reads a set, for which no energy scale is defined",
        ),
        (
            {"systematics": {"jes": {"kind": "energy_scale", "size": 0.1, "classifiers": ["ann_h"]}}},
            "ann_h reads features, for which no energy scale is defined",
        ),
        (
            {"systematics": {"luminosity": {"kind": "energy_scale", "size": 0.1, "classifiers": ["cnn_pj_lr"]}}},
            "has a parameter of this name",
        ),
        ({"switched_off": ["lumi"]}, "unknown name 'lumi'"),
        ({"diagnostics": {"pulls": ["m_j"]}}, "unknown name 'm_j'"),
        (
            {"diagnostics": {"pseudo_experiments": {"analyses": ["m_jj"], "luminosity_fb": 37}}},
            "luminosity_fb': is none of luminosities_fb",
        ),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(tmp_path, limits, message):
    with pytest.raises(ConfigError) as error:
        load_study(write_study(tmp_path, limits=limits))
    assert message in one_line(error)
