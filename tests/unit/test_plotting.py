import math
import subprocess
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import StepPatch

from cwolaflow.errors import ConfigError, InputError, StatisticsError
from cwolaflow.learning.discrimination import correlation_table
from cwolaflow.plotting.areas import auc_against_luminosity, controls, spread_over_seeds
from cwolaflow.plotting.correlations import correlation_matrices
from cwolaflow.plotting.cutflow import cutflow_efficiencies
from cwolaflow.plotting.distributions import score_distributions, stacked_distribution
from cwolaflow.plotting.flavours import flavour_composition
from cwolaflow.plotting.images import (
    average_images,
    channel_images,
    most_massive_signal,
    single_event,
)
from cwolaflow.plotting.labels import (
    VARIABLES,
    Variable,
    analysis_label,
    feature_variable,
    score_variable,
)
from cwolaflow.plotting.limits import limit_bands
from cwolaflow.plotting.roc import RocBand, roc_bands, roc_curves
from cwolaflow.plotting.style import FORMATS, PAGE_WIDTH, WIDTH, save_figure
from cwolaflow.tables import Published, PublishedAuc, PublishedLimit, limits_table, metrics_table

PROCESSES = {
    "z_qcd": {"role": "background", "label": r"Z($\nu\nu$)+jets", "colour": "#5790fc"},
    "w_qcd": {"role": "background", "label": r"W($\ell\nu$)+jets", "colour": "#f89c20"},
    "vbf_hinv": {"role": "signal", "label": r"VBF h$\to$inv", "colour": "#964a8b"},
}
M_JJ = Variable("m_jj", "$m_{jj}$", "GeV", 200.0, 1000.0, 4)


def made_events(n=60, seed=5):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "process": np.repeat(list(PROCESSES), n),
            "weight_fb": rng.uniform(0.5, 1.5, 3 * n),
            "m_jj": 200 + rng.exponential(400, 3 * n),
            "score": rng.uniform(0, 1, 3 * n),
        }
    )


def made_limits(seeds=(123, 223), scale=1.0):
    rows = [("m_jj", "none", 200, None, 0.2), ("m_jj", "none", 250, None, 0.23)]
    rows += [("ann_h", "cwola", 200, seed, 0.1 + 0.02 * i) for i, seed in enumerate(seeds)]
    ratios = {
        "minus_2sigma": 0.5,
        "minus_1sigma": 0.7,
        "median": 1,
        "plus_1sigma": 1.4,
        "plus_2sigma": 2,
    }
    limits = [
        {
            "analysis": analysis,
            "supervision": supervision,
            "met_cut_gev": cut,
            "luminosity_fb": luminosity,
            "seed": seed,
            **{name: scale * ratio * median for name, ratio in ratios.items()},
        }
        for analysis, supervision, cut, seed, median in rows
        for luminosity in (36, 140)
    ]
    published = Published("x", {("m_jj", 200.0, 36.0): PublishedLimit(0.191, 0.138, 0.266)})
    return limits_table(limits, published)


def made_cutflow():
    weighted = {"z_a": [80.0, 40.0, 8.0], "z_b": [20.0, 10.0, 2.0], "vbf": [4.0, 2.0, 1.0]}
    return pd.concat(
        pd.DataFrame(
            {"sample": sample, "cut": ["all", "jet_pt", "m_jj"], "events": 1, "weighted_fb": values}
        )
        for sample, values in weighted.items()
    )


GRID = np.linspace(0, 1, 51)


def made_band(classifier="part", supervision="cwola", luminosity=36.0, seeds=3):
    curves = np.array([GRID ** (0.5 + 0.05 * i) for i in range(seeds)])
    return RocBand(classifier, supervision, luminosity, curves, np.linspace(0.6, 0.7, seeds))


def made_names(*keys):
    """Each key is a network of its own; ``cnn_with`` and ``cnn_without`` are two of one."""
    names = {}
    for key in keys:
        network, _, variant = key.rpartition("_") if "with" in key else (key, "", "")
        names[key] = {"classifier": network, "decay_products": variant, "augmentation": "none"}
    return names


def drawn_roc(bands, grid=GRID):
    names = made_names(*dict.fromkeys(band.classifier for band in bands))
    return roc_curves(grid, bands, names, sqrt_s_tev=13)


def draw_stack():
    return stacked_distribution(made_events(), M_JJ, PROCESSES, luminosity_fb=36, sqrt_s_tev=13)


def drawn_scores(panels, tables):
    names = made_names(*(key for key, _, _ in panels))
    return score_distributions(panels, tables, names, PROCESSES, luminosity_fb=36, sqrt_s_tev=13)


def draw_scores():
    keys = ("ann_k", "cnn_without", "ann_r", "cnn_pj_lr", "part_with")
    panels = [(key, "supervised", 123) for key in keys]
    return drawn_scores(panels, [made_events(seed=seed) for seed in range(len(keys))])


def drawn_limits(limits, largest=1):
    keys = ["analysis", "supervision", "met_cut_gev", "luminosity_fb"]
    precision = limits[keys].drop_duplicates().assign(simulation_error=0.05)
    return limit_bands(limits, precision, sqrt_s_tev=13, largest=largest)


def draw_limits():
    return drawn_limits(made_limits())


def draw_roc():
    """Six panels of supervised training and five luminosities."""
    keys = ("cnn_with", "cnn_without", "part_with", "part_without", "bdt_with", "ann_h")
    bands = [made_band(key, "supervised", None) for key in keys]
    luminosities = (100, 300, 900, 1800, 3000)
    bands += [made_band(key, "cwola_m_jj", at) for key in keys for at in luminosities]
    return drawn_roc(bands)


def draw_supervised_roc():
    return drawn_roc([made_band(f"net_{i}", "supervised", None) for i in range(10)])


def draw_images():
    images = {name: np.outer(np.arange(1, 7), np.arange(1, 5)) / 10 for name in PROCESSES}
    return average_images(
        images, images, PROCESSES, eta_range=(-5, 5), sqrt_s_tev=13, reference="leading_jet"
    )


def made_channels(channels=3):
    image = np.multiply.outer(np.arange(1, 7), np.arange(1, 5)) / 10
    return {name: np.stack([image] * channels) for name in ("z_qcd", "vbf_hinv")}


def drawn_channels(averages, reference="pt_centroid"):
    return channel_images(
        averages, PROCESSES, eta_range=(-5, 5), sqrt_s_tev=13, reference=reference
    )


def draw_channels():
    return drawn_channels(made_channels())


def draw_cutflow():
    process_of = {"z_a": "z_qcd", "z_b": "z_qcd", "vbf": "vbf_hinv"}
    return cutflow_efficiencies(made_cutflow(), process_of, PROCESSES, sqrt_s_tev=13)


def draw_event():
    image = np.zeros((6, 8))
    image[2, 3] = 30.0
    return single_event(
        image, 2, eta_range=(-5, 5), sqrt_s_tev=13, reference="missing_et", note="an event"
    )


def draw_correlations():
    rng = np.random.default_rng(3)
    events = made_events().assign(label=np.repeat([0, 0, 1], 60), event_id=np.arange(180))
    scores = {"ann_h": events[["event_id"]].assign(score=rng.uniform(size=180))}
    return correlation_matrices(correlation_table(events, ["m_jj"], scores), sqrt_s_tev=13)


def made_metrics(luminosities=(36.0, 140.0), seeds=(1, 2), control=True):
    """Metrics of one network with and without decay products; AUC 0.6 and 0.62 at 36 per fb."""
    names, rows = {}, []
    for variant in ("with", "without"):
        key = f"part_{variant}"
        names[key] = {"classifier": "part", "decay_products": variant, "augmentation": "none"}
        trainings = [("cwola", at, seed) for at in luminosities for seed in seeds]
        trainings += [("supervised", None, 1)]
        trainings += [("cwola_control", at, 1) for at in luminosities] if control else []
        for supervision, luminosity, seed in trainings:
            auc = {"supervised": 0.87, "cwola_control": 0.52}.get(supervision)
            auc = auc or 0.6 + 0.02 * (seed - 1) + 0.001 * (luminosity - 36)
            mixed = dict.fromkeys(("f1", "f2", "auc_mixed_implied", "auc_mixed_excess"), 0.0)
            counts = dict.fromkeys(
                ("n_m1", "n_m2", "n_train", "n_test_signal", "n_test_background"), 9
            )
            rows.append(
                {"classifier": key, "supervision": supervision, "luminosity_fb": luminosity}
                | {"seed": seed, "auc": auc, "auc_mixed": 0.58, "accuracy": 0.6}
                | mixed
                | counts
                | {"auc_mixed_implied": 0.53}
            )
    key = ("part", "cwola", "without", "none", 36.0)
    return metrics_table(rows, names, Published("x", aucs={key: PublishedAuc(0.66, 0.03)}))


def made_yields():
    shares = {"z_qcd": (1, 1, 2), "w_qcd": (3, 1, 0), "vbf_hinv": (9, 1, 0)}
    return pd.DataFrame(
        [
            {"process": process, "region": "SR", "flavour_category": category, "weighted_fb": share}
            for process, numbers in shares.items()
            for category, share in zip(("2q0g", "1q1g", "0q2g"), numbers, strict=True)
            if share
        ]
    )


def draw_areas():
    return auc_against_luminosity(made_metrics(), "cwola", sqrt_s_tev=13)


def draw_controls():
    return controls(made_metrics(), sqrt_s_tev=13)


def draw_flavours():
    return flavour_composition(made_yields(), PROCESSES, sqrt_s_tev=13)


FIGURES = [
    draw_stack,
    draw_scores,
    draw_limits,
    draw_roc,
    draw_supervised_roc,
    draw_images,
    draw_channels,
    draw_event,
    draw_correlations,
    draw_cutflow,
    draw_areas,
    draw_controls,
    draw_flavours,
]


def texts(figure):
    return [item.get_text() for item in figure.findobj(mpl.text.Text) if item.get_text()]


@pytest.mark.parametrize("draw", FIGURES)
def test_every_figure_is_written_in_every_format_with_the_same_bytes(tmp_path, draw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for run in ("first", "second"):
            paths = [tmp_path / run / f"figure.{kind}" for kind in FORMATS]
            save_figure(draw(), paths, dpi=40)
    for kind in FORMATS:
        first, second = (tmp_path / run / f"figure.{kind}" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
        assert len(list(first.parent.iterdir())) == len(FORMATS)
    assert (tmp_path / "first/figure.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "first/figure.png").read_bytes().startswith(b"\x89PNG")
    assert b"CreationDate" not in (tmp_path / "first/figure.pdf").read_bytes()


@pytest.mark.parametrize("draw", FIGURES)
def test_every_figure_names_its_maker_and_the_energy(draw):
    found = " ".join(texts(draw()))
    assert "cwolaflow" in found
    assert "= 13 TeV" in found


@pytest.mark.parametrize("draw", FIGURES)
def test_no_text_leaves_the_page(draw):
    figure = draw()
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 > -0.03
    assert drawn.y0 > -0.03
    assert drawn.x1 < width + 0.03
    assert drawn.y1 < height + 0.03


def test_drawing_leaves_the_global_state_alone():
    before = dict(mpl.rcParams)
    draw_stack()
    assert dict(mpl.rcParams) == before
    code = "import cwolaflow.plotting, matplotlib.pyplot as p; assert not p.get_fignums()"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "workflow"})


def test_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"\.gif"):
        save_figure(draw_roc(), [tmp_path / "a.png", tmp_path / "a.gif"], dpi=40)
    assert not list(tmp_path.iterdir())


def test_stack_adds_up_to_all_expected_events():
    events = made_events()
    upper = draw_stack().axes[0]
    steps = [patch for patch in upper.patches if isinstance(patch, StepPatch)]
    filled = {patch.get_label(): patch for patch in steps if patch.get_fill()}
    heights = {}
    for name in ("z_qcd", "w_qcd"):
        values, edges, baseline = filled[PROCESSES[name]["label"]].get_data()
        heights[name] = values - (0 if baseline is None else baseline)
        chosen = events[events.process == name]
        assert heights[name].sum() == pytest.approx(36 * chosen.weight_fb.sum())
        np.testing.assert_array_equal(edges, [200, 400, 600, 800, 1000])
    (signal,) = [patch for patch in steps if patch.get_label() == PROCESSES["vbf_hinv"]["label"]]
    vbf = events[events.process == "vbf_hinv"]
    assert np.sum(signal.get_data()[0]) == pytest.approx(36 * vbf.weight_fb.sum())
    # Independent count of the second bin.
    second = events[(events.process == "z_qcd") & events.m_jj.between(400, 600, inclusive="left")]
    assert heights["z_qcd"][1] == pytest.approx(36 * second.weight_fb.sum())


def test_every_panel_of_scores_has_its_own_events():
    panels = [("ann_h", "cwola", 123), ("part", "cwola", 123)]
    tables = [made_events(seed=seed) for seed in (5, 6)]
    figure = drawn_scores(panels, tables)
    uppers = figure.axes[::2]
    for upper, table, name in zip(uppers, tables, ("ANN (high-level)", "ParT"), strict=True):
        (signal,) = [p for p in upper.patches if p.get_label() == PROCESSES["vbf_hinv"]["label"]]
        expected = 36 * table.loc[table["process"] == "vbf_hinv", "weight_fb"].sum()
        counts, _, _ = signal.get_data()
        assert counts.sum() == pytest.approx(expected)
        assert [text.get_text() for text in upper.texts] == [f"{name}\nCWoLa, seed 123"]
    assert "fb" in uppers[0].get_title(loc="right")
    assert uppers[1].get_title(loc="right") == ""


def test_ratio_is_signal_over_background_with_its_error():
    events = pd.DataFrame(
        {
            "process": ["z_qcd", "z_qcd", "w_qcd", "vbf_hinv", "vbf_hinv"],
            "weight_fb": [2.0, 1.0, 1.0, 0.5, 0.5],
            "m_jj": [300.0, 300.0, 300.0, 300.0, 5000.0],
        }
    )
    figure = stacked_distribution(events, M_JJ, PROCESSES, luminosity_fb=10, sqrt_s_tev=13)
    (points,) = figure.axes[1].containers
    assert list(points.lines[0].get_xdata()) == [300.0]
    assert points.lines[0].get_ydata()[0] == pytest.approx(0.5 / 4)
    # Relative errors 1 of the signal and √6 / 4 of the background.
    (low, high), *_ = points.lines[2][1].get_segments()
    assert high[1] - low[1] == pytest.approx(2 * 0.125 * np.hypot(1, np.sqrt(6) / 4))


def test_uncertainty_band_is_the_root_of_the_squared_weights():
    upper = draw_stack().axes[0]
    (band,) = [patch for patch in upper.patches if patch.get_hatch()]
    values, _, baseline = band.get_data()
    events = made_events()
    first = events[(events.process != "vbf_hinv") & (events.m_jj < 400)].weight_fb
    assert (values - baseline)[0] / 2 == pytest.approx(36 * np.sqrt((first**2).sum()))


def test_labels_carry_units_and_luminosity():
    figure = draw_stack()
    assert figure.axes[1].get_xlabel() == "$m_{jj}$ [GeV]"
    assert figure.axes[0].get_ylabel() == "Events / 200 GeV"
    assert "36 fb" in " ".join(texts(figure))
    for name, variable in VARIABLES.items():
        has_unit = "[" in variable.axis_label
        assert has_unit == name.startswith(("ht_", "m_", "missing_", "delta_phi_")) | name.endswith(
            ("_pt", "_phi")
        ), name
        assert variable.column == name
    assert "GeV" in draw_images().axes[-1].get_xlabel()
    assert "rad" in " ".join(texts(draw_images()))


def test_every_feature_of_the_event_table_can_be_drawn():
    from cwolaflow.representation.feature_groups import FEATURE_GROUPS

    for group in FEATURE_GROUPS.values():
        for column in group:
            assert feature_variable(column).high > feature_variable(column).low
    assert "4.73" in feature_variable("ht_eta_473").label
    with pytest.raises(ConfigError, match="mjj"):
        feature_variable("mjj")


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ([0.003, 0.98], (0, 1)),
        ([0.484, 0.523], (0.48, 0.53)),
        ([0.5, 0.5], (0, 1)),
        ([0.0, 1.0], (0, 1)),
    ],
)
def test_score_axis_spans_the_scores(scores, ends):
    variable = score_variable(np.array(scores))
    assert (variable.low, variable.high) == pytest.approx(ends)
    assert variable.low <= min(scores) <= max(scores) <= variable.high
    assert len(variable.edges) == 21


def test_stack_refuses_unknown_processes_and_missing_roles():
    events = made_events()
    with pytest.raises(ConfigError, match="top"):
        stacked_distribution(
            events.assign(process="top"), M_JJ, PROCESSES, luminosity_fb=36, sqrt_s_tev=13
        )
    with pytest.raises(ConfigError, match="signals"):
        stacked_distribution(
            events[events.process == "z_qcd"], M_JJ, PROCESSES, luminosity_fb=36, sqrt_s_tev=13
        )


def drawn_bars(panel):
    return sorted(
        (patch.get_x(), patch.get_x() + patch.get_width())
        for container in panel.containers
        if isinstance(container, mpl.container.BarContainer)
        for patch in container
    )


def test_limit_panels_have_bands_medians_and_published_values():
    first, second = draw_limits().axes
    # m_jj with 200 and 250 GeV, and the mean of 0.10 and 0.12.
    medians = (0.2, 0.23, 0.11)
    bands = [(a * m, b * m) for m in medians for a, b in ((0.5, 2), (0.7, 1.4))]
    np.testing.assert_allclose(drawn_bars(first), sorted(bands))
    assert first.get_title(loc="right") == "36 fb$^\\mathrm{-1}$"
    assert second.get_title(loc="right") == "140 fb$^\\mathrm{-1}$"
    names = [label.get_text() for label in first.get_yticklabels()]
    assert [("> " in name or ">$" in name) for name in names] == [True, True, False]
    assert names[2] == "ANN (high-level), CWoLa"
    circles = [line.get_xdata()[0] for line in first.lines if line.get_marker() == "o"]
    assert circles == [0.191]
    assert not [line for line in second.lines if line.get_marker() == "o"]
    assert "95% CL" in second.get_xlabel()
    assert "BR" in second.get_xlabel()


def test_limit_error_bar_is_the_spread_over_seeds():
    panel = draw_limits().axes[0]
    bars = [item for item in panel.containers if hasattr(item, "has_xerr")]
    (spread,) = [bar for bar in bars if bar.lines[0].get_marker() != "o"]
    (segment,) = spread.lines[2][0].get_segments()
    # Standard deviation of 0.10 and 0.12 about their mean.
    np.testing.assert_allclose(segment[:, 0], 0.11 + np.array([-1, 1]) * 0.02 / np.sqrt(2))


def test_published_limit_has_its_band():
    panel = draw_limits().axes[0]
    bars = [item for item in panel.containers if hasattr(item, "has_xerr")]
    (published, *_) = [bar for bar in bars if bar.lines[0].get_marker() == "o"]
    (segment,) = published.lines[2][0].get_segments()
    np.testing.assert_allclose(segment[:, 0], [0.138, 0.266])


def test_limit_axis_is_logarithmic_beyond_a_decade():
    narrow = made_limits()
    assert drawn_limits(narrow).axes[0].get_xscale() == "linear"
    wide = pd.concat([narrow, made_limits(scale=20).assign(analysis="weak")])
    figure = drawn_limits(wide)
    assert figure.axes[0].get_xscale() == "log"
    assert "above 1: unphysical" in texts(figure)
    assert not any("unphysical" in text for text in texts(drawn_limits(wide, largest=None)))


def test_limits_refuse_seeds_without_mean():
    table = made_limits()
    with pytest.raises(InputError, match="no mean"):
        drawn_limits(table[table.seed != "mean"])
    with pytest.raises(InputError, match="no rows"):
        drawn_limits(table[:0])


def legend_of(panel):
    legend = panel.get_legend()
    return legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]


def test_roc_draws_mean_and_spread():
    made = made_band(seeds=3)
    (panel,) = drawn_roc([made]).axes
    line = panel.lines[0]
    np.testing.assert_allclose(line.get_xdata(), GRID)
    np.testing.assert_allclose(line.get_ydata(), made.signal_efficiency.mean(axis=0))
    (band,) = panel.collections
    at = band.get_paths()[0].vertices
    half = GRID[25]
    values = made.signal_efficiency[:, 25]
    ends = {round(y, 9) for x, y in at if x == half}
    assert ends == {round(values.mean() + side * values.std(ddof=1), 9) for side in (-1, 1)}
    assert "Background efficiency" in panel.get_xlabel()
    assert "Signal efficiency" in panel.get_ylabel()
    assert made.area == "AUC 0.650 ± 0.050"
    assert made_band(seeds=1).area == "AUC 0.600"


def test_roc_of_mixtures_has_a_panel_for_each_classifier_and_a_curve_for_each_luminosity():
    figure = draw_roc()
    assert len(figure.axes) == 6
    assert figure.get_size_inches()[0] == PAGE_WIDTH
    titles = [legend_of(panel)[0] for panel in figure.axes]
    assert titles[:2] == [
        "CNN, with decay products\nCWoLa (m jj)",
        "CNN, without decay products\nCWoLa (m jj)",
    ]
    for panel in figure.axes:
        names = [name.split(",")[0] for name in legend_of(panel)[1]]
        luminosities = (100, 300, 900, 1800, 3000)
        mixed = [rf"{at} fb$^\mathrm{{-1}}$" for at in luminosities]
        assert names == ["supervised", *mixed, "random choice"]
        curves = panel.lines[:-1]
        assert curves[0].get_color() == "black"
        assert len({line.get_color() for line in curves}) == len(curves)
    two = drawn_roc([made_band("ann_h"), made_band("part")])
    assert len(two.axes) == 2
    assert two.get_size_inches()[0] == WIDTH
    # The third of four places of a page.
    assert len(drawn_roc([made_band(name) for name in ("a", "b", "c")]).axes) == 3


def test_roc_panels_stand_in_the_order_of_the_names():
    bands = [made_band("part", "supervised", None), made_band("ann_h"), made_band("part")]
    figure = roc_curves(GRID, bands, made_names("ann_h", "part"), sqrt_s_tev=13)
    assert [legend_of(panel)[0].split("\n")[0] for panel in figure.axes] == [
        "ANN (high-level)",
        "ParT",
    ]
    assert [len(panel.lines) for panel in figure.axes] == [2, 3]


def test_roc_without_mixtures_compares_the_classifiers_in_one_panel():
    keys = ("cnn_with", "cnn_without", "part_with", "part_without")
    (panel,) = drawn_roc([made_band(key, "supervised", None) for key in keys]).axes
    title, names = legend_of(panel)
    assert title == "supervised"
    assert names[0] == "CNN, with decay products, AUC 0.650 ± 0.050"
    cnn, cnn_without, part, part_without, _ = panel.lines
    assert (
        cnn.get_color() == cnn_without.get_color() != part.get_color() == part_without.get_color()
    )
    assert cnn.get_linestyle() == part.get_linestyle() != cnn_without.get_linestyle()
    (panel,) = draw_supervised_roc().axes
    styles = {(line.get_color(), line.get_linestyle()) for line in panel.lines[:-1]}
    assert len(styles) == 10


def test_roc_refuses_another_grid():
    with pytest.raises(InputError, match="common grid"):
        drawn_roc([made_band()], GRID[1:])
    with pytest.raises(InputError, match="none"):
        drawn_roc([])


def test_channels_put_eta_and_phi_where_they_belong():
    averages = {name: np.zeros((3, 6, 4)) for name in ("vbf_hinv", "z_qcd")}
    averages["z_qcd"][1, 5, 0] = 2.0
    averages["vbf_hinv"][2, 1, 3] = 1.5
    *panels, bar = drawn_channels(averages).axes
    assert len(panels) == 6
    lit = {}
    for number, panel in enumerate(panels):
        (shown,) = panel.images
        assert shown.origin == "lower"
        assert list(shown.get_extent()) == [-5, 5, -np.pi, np.pi]
        assert shown.get_clim() == pytest.approx((2e-3, 2.0))
        places = np.argwhere(~np.ma.getmaskarray(shown.get_array())).tolist()
        lit |= {number: places} if places else {}
    # A row a process in the order of the study, a column a channel; φ upwards, η to the right.
    assert lit == {1: [[0, 5]], 5: [[3, 1]]}
    assert "GeV" in bar.get_ylabel()
    assert "event" in bar.get_ylabel()


@pytest.mark.parametrize(
    ("reference", "x_label", "y_label"),
    [
        ("pt_centroid", r"$\eta^\prime$", r"$\phi^\prime$ [rad]"),
        ("detector", r"$\eta$", r"$\phi$ [rad]"),
    ],
)
def test_channels_name_process_channel_and_frame(reference, x_label, y_label):
    *panels, _ = drawn_channels(made_channels(), reference).axes
    first, last = panels[::3]
    assert first.get_ylabel() == f"{PROCESSES['z_qcd']['label']}\n{y_label}"
    assert last.get_ylabel() == f"{PROCESSES['vbf_hinv']['label']}\n{y_label}"
    assert [panel.get_xlabel() for panel in panels[3:]] == [x_label] * 3
    titles = [panel.get_title().split(",")[0] for panel in panels[:3]]
    assert titles == ["towers", "tracks", "decay products"]
    *without, _ = drawn_channels(made_channels(channels=2), reference).axes
    assert [panel.get_title().split(",")[0] for panel in without[:2]] == ["towers", "tracks"]
    assert len(without) == 4


def test_channels_refuse_nonsense():
    averages = made_channels()
    with pytest.raises(ConfigError, match="top"):
        drawn_channels({"top": averages["z_qcd"]})
    with pytest.raises(ConfigError, match="beam"):
        drawn_channels(averages, "beam")
    with pytest.raises(InputError, match="shapes"):
        drawn_channels(averages | {"w_qcd": averages["z_qcd"][:2]})
    with pytest.raises(InputError, match="no pixel"):
        drawn_channels({"z_qcd": np.zeros((2, 3, 3))})


IMAGES = {"eta_range": (-3, 3), "sqrt_s_tev": 13, "reference": "leading_jet"}


def test_images_put_eta_and_phi_where_they_belong():
    before, after = np.zeros((6, 4)), np.zeros((6, 4))
    after[5, 0] = 2.0
    before[1, 3] = 1.5
    left, right, bar = average_images({"z_qcd": before}, {"z_qcd": after}, PROCESSES, **IMAGES).axes
    for panel, place, value in ((left, (3, 1), 1.5), (right, (0, 5), 2.0)):
        (shown,) = panel.images
        assert shown.origin == "lower"
        assert list(shown.get_extent()) == [-3, 3, -np.pi, np.pi]
        array = shown.get_array()
        assert array.shape == (4, 6)
        assert array[place] == value
        assert array.count() == 1
    assert "GeV" in bar.get_xlabel()
    assert left.get_ylabel() != right.get_ylabel()


def test_images_share_their_scale_and_refuse_nonsense():
    images = {"z_qcd": np.full((3, 2), 5.0), "vbf_hinv": np.full((3, 2), 1e-9)}
    figure = average_images(images, images, PROCESSES, **IMAGES)
    limits = {panel.images[0].get_clim() for panel in figure.axes if panel.images}
    assert limits == {(5e-4, 5.0)}
    empty = {"z_qcd": np.zeros((3, 2))}
    with pytest.raises(InputError, match="no pixel"):
        average_images(empty, empty, PROCESSES, **IMAGES)
    with pytest.raises(InputError, match="shapes"):
        average_images(images, images | {"z_qcd": np.ones((2, 2))}, PROCESSES, **IMAGES)
    with pytest.raises(InputError, match=r"before and .*after"):
        average_images(empty, images, PROCESSES, **IMAGES)
    with pytest.raises(ConfigError, match="beam"):
        average_images(images, images, PROCESSES, **IMAGES | {"reference": "beam"})


def test_one_event_shows_its_padding():
    panel = draw_event().axes[0]
    (shown,) = panel.images
    assert list(shown.get_extent()) == pytest.approx([-5, 5, -2 * np.pi, 2 * np.pi])
    assert shown.get_array()[3, 2] == 30.0
    assert [line.get_ydata()[0] for line in panel.lines] == pytest.approx([-np.pi, np.pi])
    with pytest.raises(InputError, match="no pixel"):
        single_event(
            np.zeros((2, 2)), 0, eta_range=(-5, 5), sqrt_s_tev=13, reference="missing_et", note=""
        )


def test_the_event_to_draw_is_the_signal_with_the_highest_mass():
    events = pd.DataFrame({"label": [0, 1, 1, 1], "m_jj": [9000.0, 500.0, 2000.0, 2000.0]})
    assert most_massive_signal(events) == 2
    with pytest.raises(StatisticsError, match="no signal event"):
        most_massive_signal(events[events["label"] == 0])


def test_cutflow_adds_the_samples_of_a_process():
    figure = draw_cutflow()
    axes = figure.axes[0]
    drawn = {patch.get_label(): patch.get_data()[0] for patch in axes.patches}
    np.testing.assert_allclose(drawn[PROCESSES["z_qcd"]["label"]], [1, 0.5, 0.1])
    np.testing.assert_allclose(drawn[PROCESSES["vbf_hinv"]["label"]], [1, 0.5, 0.25])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all", "jet pt", "m jj"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_cutflow_draws_a_process_that_loses_everything():
    table = made_cutflow()
    table.loc[(table["sample"] == "vbf") & (table["cut"] != "all"), "weighted_fb"] = 0.0
    process_of = {"z_a": "z_qcd", "z_b": "z_qcd", "vbf": "vbf_hinv"}
    figure = cutflow_efficiencies(table, process_of, PROCESSES, sqrt_s_tev=13)
    assert figure.axes[0].get_xlim()[0] > 0


def bars(panel):
    """Centres and half lengths of the error bars of a panel, by order of drawing."""
    drawn = []
    for container in panel.containers:
        (line,), segments = container.lines[0:1], container.lines[2][0].get_segments()
        half = [(high[1] - low[1]) / 2 for low, high in segments]
        drawn.append((line.get_xdata(), line.get_ydata(), np.array(half)))
    return drawn


def test_an_area_at_one_luminosity_has_a_bar_of_its_spread():
    figure = auc_against_luminosity(made_metrics(luminosities=(36.0,)), "cwola", sqrt_s_tev=13)
    (panel,) = figure.axes
    first, second = (bars for bars in panel.containers if bars.lines[0].get_marker() == "o")
    assert first.lines[0].get_markerfacecolor() != "white"
    assert second.lines[0].get_markerfacecolor() == "white"
    assert first.lines[0].get_xdata() != second.lines[0].get_xdata()
    for bars in (first, second):
        ((low, high),) = (line[:, 1] for line in bars.lines[2][0].get_segments())
        # Two seeds at 0.60 and 0.62.
        assert (low + high) / 2 == pytest.approx(0.61)
        assert (high - low) / 2 == pytest.approx(0.02 / math.sqrt(2))


def test_areas_draw_mean_spread_published_and_supervised():
    (panel,) = draw_areas().axes
    curves = [
        line for line in panel.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"
    ]
    assert [line.get_linestyle() for line in curves] == ["-", "--"]
    for line in curves:
        np.testing.assert_allclose(line.get_xdata(), [36, 140])
        np.testing.assert_allclose(line.get_ydata(), [0.61, 0.714])
    (published,) = [bar for bar in bars(panel) if len(bar[0])]
    assert 36 < published[0][0] < 36 * 1.1
    assert (published[1][0], published[2][0]) == pytest.approx((0.66, 0.03))
    assert [line.get_ydata()[0] for line in panel.lines if line.get_linestyle() in (":", "-.")] == [
        0.87,
        0.87,
    ]
    found = texts(draw_areas())
    assert {"with", "without", "supervised, with", "published", "ParT, CWoLa"} <= set(found)
    with pytest.raises(InputError, match="'transfer'"):
        auc_against_luminosity(made_metrics(), "transfer", sqrt_s_tev=13)


def test_spread_over_seeds():
    table = made_metrics()
    rows = table[(table.supervision == "cwola") & (table.decay_products == "with")]
    points = spread_over_seeds(rows, "auc")
    np.testing.assert_allclose(points["luminosity_fb"], [36, 140])
    np.testing.assert_allclose(points["std"], 0.02 / np.sqrt(2))
    single = spread_over_seeds(rows[rows.seed == "2"], "auc")
    np.testing.assert_allclose(single["mean"], [0.62, 0.724])
    assert single["std"].tolist() == [0, 0]
    # One seed of the control: a mean without a spread.
    np.testing.assert_allclose(spread_over_seeds(rows, "auc_no_signal")["mean"], 0.52)


def test_controls_stand_beside_what_they_control():
    figure = draw_controls()
    assert len(figure.axes) == 4
    left, right, *_ = figure.axes
    (_, trained, spread), (_, no_signal, _) = bars(left)
    np.testing.assert_allclose(trained, [0.61, 0.714])
    np.testing.assert_allclose(spread, 0.02 / np.sqrt(2))
    np.testing.assert_allclose(no_signal, 0.52)
    (_, mixed, _), (_, implied, _) = bars(right)
    np.testing.assert_allclose(mixed, 0.58)
    np.testing.assert_allclose(implied, 0.53)
    single = controls(made_metrics((36.0,), (1,), control=False), sqrt_s_tev=13)
    assert len(single.axes) == 4
    with pytest.raises(InputError, match="cwola"):
        table = made_metrics()
        controls(table[table.supervision == "supervised"], sqrt_s_tev=13)


def test_flavour_shares_add_up_to_one():
    figure = draw_flavours()
    (axes,) = figure.axes
    widths = [[bar.get_width() for bar in container] for container in axes.containers]
    np.testing.assert_allclose(widths, [[0.25, 0.75, 0.9], [0.25, 0.25, 0.1], [0.5, 0, 0]])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [process["label"] for process in PROCESSES.values()]
    with pytest.raises(ConfigError, match="top"):
        flavour_composition(made_yields().assign(process="top"), PROCESSES, sqrt_s_tev=13)


def test_labels_of_analyses():
    assert analysis_label("cnn_pj_lr", "supervised") == "CNN ($P_J$, LR), supervised"
    assert analysis_label("my_net", "cwola") == "my net, CWoLa"
    assert analysis_label("m_jj") == "$m_{jj}$"
    assert analysis_label("ann_h", "cwola_control") == "ANN (high-level), CWoLa (control)"


@pytest.mark.parametrize("weights", ["empty background bin", "one event"])
def test_sparse_simulation_is_drawn(tmp_path, weights):
    events = made_events(n=1 if weights == "one event" else 3)
    figure = stacked_distribution(
        events, VARIABLES["m_jj"], PROCESSES, luminosity_fb=36, sqrt_s_tev=13
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, [tmp_path / "a.pdf"], dpi=40)


def test_roc_bands_group_the_seeds_of_a_training():
    def scores(shift, seed):
        rng = np.random.default_rng(seed)
        label = np.repeat([0, 1], 500)
        return pd.DataFrame({"label": label, "score": rng.normal(shift * label), "weight_fb": 2.0})

    trainings = [("ann_h", "supervised", "all"), ("ann_h", "cwola", "36"), ("ann_h", "cwola", "36")]
    tables = [scores(2.0, 1), scores(0.0, 2), scores(0.0, 3)]
    grid, bands = roc_bands(trainings, tables)
    supervised, cwola = bands
    assert [(band.classifier, band.supervision) for band in bands] == [
        ("ann_h", "supervised"),
        ("ann_h", "cwola"),
    ]
    assert (supervised.luminosity_fb, cwola.luminosity_fb) == (None, 36)
    assert supervised.signal_efficiency.shape == (1, len(grid))
    assert cwola.signal_efficiency.shape == (2, len(grid))
    # Two normal distributions two standard deviations apart: AUC = Φ(√2).
    assert supervised.auc[0] == pytest.approx(0.921, abs=0.02)
    assert cwola.auc == pytest.approx(0.5, abs=0.05)
