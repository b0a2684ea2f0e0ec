import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cwolaflow.config.plan import metric_names, trained_classifiers
from cwolaflow.config.study import load_study, read_study
from cwolaflow.errors import ConfigError, CwolaflowError, InputError
from cwolaflow.files import write_csv
from cwolaflow.tables import (
    OVERTRAINING_COLUMNS,
    Published,
    PublishedAuc,
    PublishedLimit,
    join_cutflows,
    limits_table,
    load_published,
    metrics_table,
    overtraining_table,
    precision_table,
    read_limits,
    read_metrics,
)

PUBLISHED = Published(
    "a paper",
    {
        ("m_jj", 200.0, 36.0): PublishedLimit(0.191, 0.138, 0.266),
        ("m_jj", 250.0, 36.0): PublishedLimit(0.226, 0.163, 0.319),
        ("ann_h", 200.0, 36.0): PublishedLimit(0.094, 0.068, 0.132),
    },
    {
        ("part", "supervised", "", "none", None): PublishedAuc(0.87, 0.01),
        ("part", "cwola", "", "none", 36.0): PublishedAuc(0.62, 0.03),
    },
)
HINV = "resources/published/hinv.yaml"


def limit(analysis="ann_h", supervision="cwola", met=200, luminosity=36, seed=0, scale=1.0):
    numbers = {
        "median": 0.2,
        "minus_2sigma": 0.1,
        "minus_1sigma": 0.15,
        "plus_1sigma": 0.28,
        "plus_2sigma": 0.4,
    }
    return {
        "analysis": analysis,
        "supervision": supervision,
        "met_cut_gev": met,
        "luminosity_fb": luminosity,
        "seed": seed,
        **{name: scale * number for name, number in numbers.items()},
    }


def metrics(classifier="part", supervision="cwola", luminosity=36.0, seed=123, **more):
    return {
        "classifier": classifier,
        "supervision": supervision,
        "luminosity_fb": luminosity,
        "seed": seed,
        "n_m1": 1234567,
        "n_m2": 30,
        "n_train": 1000,
        "auc_mixed": 0.55,
        "auc": 0.7,
        "accuracy": 0.6,
        "n_test_signal": 50,
        "n_test_background": 60,
        "f1": 0.4,
        "f2": 0.1,
        "auc_mixed_implied": 0.56,
        "auc_mixed_excess": -0.01,
    } | more


NAMES = {
    "part": {"classifier": "part", "decay_products": "", "augmentation": "none"},
    "ann_h": {"classifier": "ann_h", "decay_products": "", "augmentation": "none"},
    "part_with": {"classifier": "part", "decay_products": "with", "augmentation": "none"},
    "part_without": {"classifier": "part", "decay_products": "without", "augmentation": "none"},
}


LIMITS = [
    limit("m_jj", "none", met=250, seed=None),
    limit("m_jj", "none", met=200, seed=None),
    limit(supervision="supervised", seed=0),
    limit(seed=1023, scale=3.0),
    limit(seed=123, scale=1.0),
    limit(seed=223, scale=2.0),
    limit(seed=123, luminosity=140, scale=0.5),
]


def test_limits_have_the_public_columns():
    expected = "analysis supervision met_cut_gev luminosity_fb seed median minus_2sigma"
    expected += " minus_1sigma plus_1sigma plus_2sigma published_median"
    expected += " published_minus_1sigma published_plus_1sigma"
    assert list(limits_table(LIMITS, PUBLISHED)) == expected.split()
    assert list(limits_table([], PUBLISHED)) == expected.split()


def test_limits_mean_row_is_the_mean_of_each_number():
    table = limits_table(LIMITS, PUBLISHED)
    means = table[table.seed == "mean"]
    assert len(means) == 1
    mean = means.iloc[0]
    assert (mean.analysis, mean.supervision, mean.luminosity_fb) == ("ann_h", "cwola", 36)
    # Scales 1, 2 and 3 of the same limit: twice the first.
    np.testing.assert_allclose(
        mean[["median", "minus_2sigma", "minus_1sigma", "plus_1sigma", "plus_2sigma"]].astype(
            float
        ),
        [0.4, 0.2, 0.3, 0.56, 0.8],
    )


def test_limits_of_different_cuts_are_not_averaged():
    table = limits_table([limit(met=200, seed=1), limit(met=250, seed=1)], PUBLISHED)
    assert list(table.seed) == ["1", "1"]


def test_limits_order_and_seeds_as_text():
    table = limits_table(LIMITS, PUBLISHED)
    rows = list(
        zip(table.supervision, table.met_cut_gev, table.luminosity_fb, table.seed, strict=True)
    )
    assert rows == [
        ("none", 200, 36, ""),
        ("none", 250, 36, ""),
        ("supervised", 200, 36, "0"),
        ("cwola", 200, 36, "123"),
        ("cwola", 200, 36, "223"),
        ("cwola", 200, 36, "1023"),
        ("cwola", 200, 36, "mean"),
        ("cwola", 200, 140, "123"),
    ]


def test_limits_do_not_depend_on_the_order_of_the_input():
    first = limits_table(LIMITS, PUBLISHED)
    for shuffled in itertools.islice(itertools.permutations(LIMITS), 0, 5040, 501):
        pd.testing.assert_frame_equal(limits_table(shuffled, PUBLISHED), first)


def test_published_medians_match_analysis_cut_and_luminosity():
    table = limits_table(LIMITS, PUBLISHED)
    assert list(table.published_median[:2]) == [0.191, 0.226]
    at_36 = table[(table.analysis == "ann_h") & (table.luminosity_fb == 36)]
    assert len(at_36) == 5
    supervised = at_36.supervision == "supervised"
    assert supervised.any() and not supervised.all()
    assert (at_36.published_median[supervised] == 0.094).all()
    assert at_36.published_median[~supervised].isna().all()
    assert table.published_median.iloc[-1:].isna().all()
    assert list(table.published_minus_1sigma[:2]) == [0.138, 0.163]
    assert list(table.published_plus_1sigma[:2]) == [0.266, 0.319]


@pytest.mark.parametrize("missing", ["median", "seed", "analysis"])
def test_limits_refuse_a_missing_number(missing):
    broken = {name: value for name, value in limit().items() if name != missing}
    with pytest.raises(InputError, match=missing):
        limits_table([broken], PUBLISHED)


def test_limits_refuse_a_repeated_fit():
    with pytest.raises(InputError, match="twice"):
        limits_table([limit(), limit(scale=2.0)], PUBLISHED)


def test_limits_survive_csv(tmp_path):
    table = limits_table(LIMITS, PUBLISHED)
    write_csv(tmp_path / "limits.csv", table)
    again = read_limits(tmp_path / "limits.csv")
    assert list(again.seed) == list(table.seed)
    assert list(again.supervision) == list(table.supervision)
    np.testing.assert_allclose(again["median"], table["median"], rtol=1e-5)


def test_limits_of_shapes_alone_survive_csv(tmp_path):
    write_csv(tmp_path / "limits.csv", limits_table(LIMITS[:2], PUBLISHED))
    assert list(read_limits(tmp_path / "limits.csv").seed) == ["", ""]


def test_read_limits_refuses_another_table(tmp_path):
    write_csv(tmp_path / "limits.csv", pd.DataFrame({"analysis": ["m_jj"], "seed": [1]}))
    with pytest.raises(InputError, match="median"):
        read_limits(tmp_path / "limits.csv")


def test_metrics_columns_order_and_published():
    table = metrics_table(
        [
            metrics(luminosity=140.0),
            metrics(seed=1023),
            metrics(seed=123),
            metrics(supervision="supervised", luminosity=None, seed=0),
            metrics("ann_h", auc_mixed=None),
        ],
        NAMES,
        PUBLISHED,
    )
    expected = (
        "classifier supervision decay_products augmentation luminosity_fb seed n_m1 n_m2 n_train"
    )
    expected += " auc_mixed auc accuracy n_test_signal n_test_background published_auc"
    expected += " published_auc_std auc_no_signal f1 f2 auc_mixed_implied auc_mixed_excess"
    assert list(table) == expected.split()
    assert list(table.classifier) == ["ann_h"] + 6 * ["part"]
    assert list(table.seed) == ["123", "0", "123", "1023", "mean", "std", "123"]
    np.testing.assert_equal(table.luminosity_fb.to_numpy(), [36, np.nan, 36, 36, 36, 36, 140])
    at_36 = 4 * [0.62]
    np.testing.assert_equal(table.published_auc.to_numpy(), [np.nan, 0.87, *at_36, np.nan])
    at_36 = 4 * [0.03]
    np.testing.assert_equal(table.published_auc_std.to_numpy(), [np.nan, 0.01, *at_36, np.nan])
    assert np.isnan(table.auc_mixed[0])
    assert (table.decay_products == "").all()
    assert (table.augmentation == "none").all()


def test_metrics_mean_and_spread_over_seeds_by_hand():
    aucs, n_m1 = (0.6, 0.7, 0.86), (100, 102, 103)
    rows = [metrics(seed=s, auc=a, n_m1=n) for s, a, n in zip((1, 2, 3), aucs, n_m1, strict=True)]
    table = metrics_table(rows, NAMES, PUBLISHED).set_index("seed")
    assert table.auc["mean"] == pytest.approx(0.72)
    # Deviations -0.12, -0.02, 0.14: 0.0344 / 2.
    assert table.auc["std"] == pytest.approx(0.0172**0.5)
    assert (table.n_m1["mean"], table.n_m1["std"]) == (102, 2)
    assert (table.accuracy["mean"], table.accuracy["std"]) == pytest.approx((0.6, 0))


def test_metrics_of_one_network_with_and_without_decay_products_stay_apart():
    published = Published("x", aucs={("part", "cwola", "with", "none", 36.0): PublishedAuc(0.7, 1)})
    rows = [metrics(name, seed=seed) for name in ("part_without", "part_with") for seed in (1, 2)]
    table = metrics_table(rows, NAMES, published)
    assert table.classifier.unique().tolist() == ["part"]
    assert table.decay_products.tolist() == 4 * ["with"] + 4 * ["without"]
    assert table.published_auc.notna().tolist() == 4 * [True] + 4 * [False]


def test_control_stands_beside_cwola_of_its_luminosity_alone():
    rows = [metrics(seed=seed) for seed in (1, 2)]
    rows += [metrics(luminosity=140.0), metrics("ann_h"), metrics(supervision="cwola_m_jj")]
    rows += [metrics(supervision="supervised", luminosity=None)]
    controls = [("part", 1, 0.50), ("part", 2, 0.54), ("ann_h", 1, 0.4)]
    rows += [metrics(c, "cwola_control", seed=seed, auc=auc) for c, seed, auc in controls]
    table = metrics_table(rows, NAMES, PUBLISHED)
    found = table[table.auc_no_signal.notna()].set_index(["classifier", "seed"])
    assert set(found.supervision) == {"cwola"}
    assert found.auc_no_signal.to_dict() == pytest.approx(
        {
            ("ann_h", "123"): 0.4,
            ("part", "1"): 0.52,
            ("part", "2"): 0.52,
            ("part", "mean"): 0.52,
            ("part", "std"): 0.04 / 2**0.5,
        }
    )


def test_metrics_without_a_control():
    assert metrics_table([metrics()], NAMES, PUBLISHED)["auc_no_signal"].isna().all()


def test_metrics_survive_csv(tmp_path):
    rows = [metrics("part_with", seed=seed) for seed in (1, 2)] + [metrics(f1=None)]
    table = metrics_table(rows, NAMES, PUBLISHED)
    write_csv(tmp_path / "metrics.csv", table)
    again = read_metrics(tmp_path / "metrics.csv")
    for name in ("classifier", "decay_products", "augmentation", "seed"):
        assert again[name].tolist() == table[name].tolist()
    np.testing.assert_allclose(again["f1"], table["f1"])
    write_csv(tmp_path / "other.csv", table.drop(columns="f2"))
    with pytest.raises(InputError, match="f2"):
        read_metrics(tmp_path / "other.csv")


def test_metrics_keep_all_digits_of_counts_in_csv(tmp_path):
    rows = [metrics(), metrics(supervision="supervised", luminosity=None, n_m1=None, n_m2=None)]
    write_csv(tmp_path / "metrics.csv", metrics_table(rows, NAMES, PUBLISHED))
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[1].startswith("part,supervised,,none,,123,,,1000,0.55,")
    assert lines[2].startswith("part,cwola,,none,36,123,1234567,30,1000,0.55,")


def test_metrics_refuse_missing_and_repeated():
    with pytest.raises(InputError, match="auc"):
        metrics_table([{k: v for k, v in metrics().items() if k != "auc"}], NAMES, PUBLISHED)
    with pytest.raises(InputError, match="twice"):
        metrics_table([metrics(), metrics()], NAMES, PUBLISHED)


def flow(sample, cuts=("all", "jet_pt")):
    weighted = [10.0 / (i + 1) for i in range(len(cuts))]
    return pd.DataFrame(
        {
            "sample": sample,
            "cut": cuts,
            "events": range(len(cuts), 0, -1),
            "weighted_fb": weighted,
            "efficiency": 1.0,
        }
    )


def test_cutflow_keeps_samples_and_cuts_in_order():
    table = join_cutflows(
        [flow("z", ("all", "z_last", "a_last")), flow("b", ("all", "z_last", "a_last"))]
    )
    assert list(table) == ["sample", "cut", "events", "weighted_fb", "efficiency"]
    assert list(table["sample"]) == 3 * ["z"] + 3 * ["b"]
    assert list(table["cut"]) == 2 * ["all", "z_last", "a_last"]
    assert table.index.is_unique


def test_cutflow_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="differ"):
        join_cutflows([flow("a"), flow("b", ("all", "m_jj"))])
    with pytest.raises(InputError, match="one new sample"):
        join_cutflows([flow("a"), flow("a")])
    with pytest.raises(InputError, match="lacks"):
        join_cutflows([flow("a").drop(columns="efficiency")])
    assert join_cutflows([]).empty


def test_published_numbers_of_hinv():
    published = load_published(HINV)
    assert "2008.05434" in published.source
    assert len(published.limits) == 36
    pile_up = published.limits["cnn_pj_hr_pu50", 200.0, 140.0]
    assert pile_up.median == 0.059
    assert math.isnan(pile_up.minus_1sigma)
    assert math.isnan(pile_up.plus_1sigma)
    assert {luminosity for _, _, luminosity in published.limits} == {36, 140, 300}
    best = published.limits["cnn_pj_hr", 200.0, 300.0]
    assert (best.median, best.minus_1sigma, best.plus_1sigma) == pytest.approx(
        (0.035, 0.025, 0.048)
    )
    for (analysis, cut, luminosity), found in published.limits.items():
        if analysis.startswith("cnn_pj_hr_pu"):
            continue
        assert 0 < found.minus_1sigma < found.median < found.plus_1sigma < 1
        if luminosity > 36:
            assert found.median < published.limits[analysis, cut, 36.0].median
    # The reason for that paper: with images the limit is about three times stronger.
    ratio = (
        published.limits["m_jj", 250.0, 36.0].median / published.limits["cnn_pj_hr", 200, 36].median
    )
    assert 3 < ratio < 3.5


ENTRY = {
    "analysis": "m_jj",
    "met_cut_gev": 200,
    "luminosity_fb": 36,
    "median": 0.2,
    "plus_1sigma_offset": 0.08,
    "minus_1sigma_offset": 0.05,
}
HALF_A_BAND = {key: value for key, value in ENTRY.items() if key != "plus_1sigma_offset"}
AUC = {
    "classifier": "part",
    "supervision": "supervised",
    "decay_products": "",
    "augmentation": "",
    "luminosity_fb": None,
    "auc": 0.87,
    "auc_std": 0.01,
}


def test_published_aucs(tmp_path):
    path = tmp_path / "published.yaml"
    content = {"source": "a paper", "limits": [], "aucs": [AUC, AUC | {"luminosity_fb": 36}]}
    path.write_text(yaml.safe_dump(content))
    published = load_published(path)
    assert published.aucs["part", "supervised", "", "", None] == PublishedAuc(0.87, 0.01)
    assert published.aucs["part", "supervised", "", "", 36.0] == PublishedAuc(0.87, 0.01)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"limits": []}, "source"),
        ({"source": 3, "limits": []}, "source"),
        ({"source": "x", "limits": [], "limit": []}, "limit"),
        ({"source": "x", "limits": {}}, "list"),
        ({"source": "x", "limits": ["m_jj"]}, r"limits\[0\]"),
        ({"source": "x", "limits": [ENTRY | {"mean": 1}]}, "mean"),
        ({"source": "x", "limits": [ENTRY | {"median": -0.1}]}, "-0.1"),
        ({"source": "x", "limits": [ENTRY | {"median": "0,2"}]}, "0,2"),
        ({"source": "x", "limits": [ENTRY | {"median": float("nan")}]}, "nan"),
        ({"source": "x", "limits": [ENTRY | {"median": True}]}, "True"),
        ({"source": "x", "limits": [ENTRY | {"minus_1sigma_offset": 0.2}]}, "below the median"),
        ({"source": "x", "limits": [ENTRY | {"analysis": ["m_jj"]}]}, "analysis"),
        ({"source": "x", "limits": [HALF_A_BAND]}, "plus_1sigma_offset"),
        ({"source": "x", "limits": [ENTRY, ENTRY]}, "repeats"),
        ({"source": "x", "limits": [], "aucs": [AUC | {"auc": 0}]}, "auc"),
    ],
)
def test_published_files_are_read_strictly(tmp_path, content, named):
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=named) as caught:
        load_published(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_published_file_missing_or_no_yaml(tmp_path):
    with pytest.raises(CwolaflowError, match="absent"):
        load_published(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("source: [")
    with pytest.raises(CwolaflowError, match=r"broken\.yaml"):
        load_published(tmp_path / "broken.yaml")


def test_precision_is_the_mean_over_seeds():
    keys = {"supervision": "cwola", "met_cut_gev": 200, "luminosity_fb": 36}
    limits = [
        {"analysis": "part", **keys, "seed": 1, "simulation_error": 0.02},
        {"analysis": "part", **keys, "seed": 2, "simulation_error": 0.04},
        {"analysis": "m_jj", **keys, "supervision": "none", "seed": None, "simulation_error": 0.1},
    ]
    table = precision_table(limits)
    assert table["analysis"].tolist() == ["m_jj", "part"]
    assert table["simulation_error"].tolist() == pytest.approx([0.1, 0.03])


def test_every_row_of_the_paper_is_fitted_by_the_study_and_has_its_published_numbers():
    study = load_study("config/studies/hinv.yaml")
    published = load_published(study["published"]).limits
    shapes = {(s["analysis"], float(s["met_cut_gev"])) for s in study["limits"]["shapes"].values()}
    cut = float(study["limits"]["scores"]["met_cut_gev"])
    networks = {(name, cut) for name in study["classifiers"] if name != "part"}
    pile_up = {("cnn_pj_hr_pu20", cut), ("cnn_pj_hr_pu50", cut)}
    rows = shapes | networks - pile_up
    assert pile_up < networks
    assert len(rows) == 11
    luminosities = map(float, study["luminosities_fb"])
    expected = {(*row, at) for at in luminosities for row in rows}
    expected |= {("cnn_pj_hr_pu20", cut, 36), ("cnn_pj_hr_pu50", cut, 140)}
    assert set(published) == expected | {("cnn_pj_hr_pu50", cut, 300)}


def test_variants_of_cwola_come_after_it():
    rows = [metrics(supervision=name) for name in ("cwola_control", "cwola", "supervised")]
    assert metrics_table(rows, NAMES, PUBLISHED)["supervision"].tolist() == [
        "supervised",
        "cwola",
        "cwola_control",
    ]


def test_every_published_area_is_that_of_a_classifier_of_its_study():
    studies = Path(__file__).parents[2] / "config/studies"
    for name in ("vbf_ggf", "vbf_ggf_4l"):
        study = read_study(studies / f"{name}.yaml")
        names = metric_names(study)
        trained = {
            (*_key(names[classifier], supervision), float(luminosity))
            for supervision in ("cwola", "transfer")
            if supervision in study["supervision"]
            for classifier in trained_classifiers(study, supervision)
            for luminosity in study["luminosities_fb"]
        }
        published = set(load_published(study["published"]).aucs)
        assert published <= trained
        ours = {"bdt", "jet_cnn", "bdt_jet_cnn"}
        assert {classifier for classifier, *_ in trained - published} <= ours


def _key(names, supervision):
    return names["classifier"], supervision, names["decay_products"], names["augmentation"]


def test_published_areas_of_vbf_ggf():
    folder = Path(__file__).parents[2] / "resources/published"
    luminosities = (100, 300, 900, 1800, 3000)
    grid = {
        (classifier, "cwola", decay_products, augmentation, float(luminosity))
        for classifier in ("cnn", "part")
        for decay_products in ("with", "without")
        for augmentation in ("none", "+5", "+10")
        for luminosity in luminosities
    }
    published = load_published(folder / "vbf_ggf.yaml")
    assert published.limits == {}
    assert published.aucs.keys() == grid
    # As in the figures of the paper.
    for key, expected in {
        ("cnn", "with"): (0.621, 0.686, 0.726, 0.736, 0.738),
        ("cnn", "without"): (0.683, 0.715, 0.728, 0.731, 0.726),
        ("part", "with"): (0.622, 0.679, 0.731, 0.753, 0.756),
        ("part", "without"): (0.644, 0.696, 0.726, 0.747, 0.754),
    }.items():
        for luminosity, auc in zip(luminosities, expected, strict=True):
            found = published.aucs[key[0], "cwola", key[1], "none", luminosity].auc
            assert found == pytest.approx(auc, abs=1e-3)
    other = load_published(folder / "vbf_ggf_4l.yaml")
    assert {key[1] for key in other.aucs} == {"cwola", "transfer"}
    assert {key for key in other.aucs if key[1] == "cwola"} == grid
    assert {key[2] for key in other.aucs if key[1] == "transfer"} == {"without"}


def test_overtraining_has_a_row_where_it_was_measured():
    numbers = dict.fromkeys(OVERTRAINING_COLUMNS[4:], 0.5) | {"auc_train": 0.7, "auc": 0.6}
    job = {"classifier": "part", "supervision": "cwola", "luminosity_fb": 36.0}
    # What metrics.json has beside them, an AUC of all folds together, is not that of the networks.
    metrics = [
        job | {"seed": 1, "auc": 0.61, "overtraining": numbers},
        job | {"supervision": "cwola_control", "seed": 1, "auc": 0.5, "overtraining": None},
    ]
    table = overtraining_table(metrics)
    assert list(table) == list(OVERTRAINING_COLUMNS)
    (row,) = table.to_dict("records")
    assert (row["supervision"], row["auc_train"], row["auc"]) == ("cwola", 0.7, 0.6)
    assert list(overtraining_table(metrics[1:])) == list(OVERTRAINING_COLUMNS)
