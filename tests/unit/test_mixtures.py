import numpy as np
import pytest
from scipy.stats import poisson
from toys import CWOLA, event_table

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.learning.mixtures import (
    TrainingSet,
    draw_mixtures,
    labelled_events,
    split_validation,
    thin,
    unweight,
)

POOLS = [
    ("vbf", 1, "SR", 400, 12.3),
    ("vbf", 1, "SB", 200, 2.2),
    ("z", 0, "SR", 2000, 61.0),
    ("z", 0, "SB", 3000, 90.04),
    ("w", 0, "SR", 1000, 20.0),
    ("w", 0, "SB", 900, 25.0),
    ("w", 0, "", 500, 99.0),
]


@pytest.fixture
def events():
    return event_table(POOLS)


@pytest.fixture
def offered(events):
    return events["fold"].to_numpy() != 2


def composition(events, training):
    drawn = events.iloc[training.rows].assign(m1=training.labels)
    return drawn.groupby(["process", "region", "m1"]).size().to_dict()


def test_every_process_has_its_expected_number_of_the_whole_region(events, offered):
    training = draw_mixtures(events, offered, 10, CWOLA, 1)
    assert composition(events, training) == {
        ("vbf", "SR", 1): 123,
        ("vbf", "SB", 0): 22,
        ("z", "SR", 1): 610,
        ("z", "SB", 0): 900,
        ("w", "SR", 1): 200,
        ("w", "SB", 0): 250,
    }
    assert training.luminosity_fb == 10


def test_events_are_drawn_once_and_never_from_the_held_out_fold(events, offered):
    training = draw_mixtures(events, offered, 20, CWOLA, 1)
    assert len(set(training.rows)) == len(training.rows) > 2000
    assert (np.diff(training.rows) > 0).all()
    assert offered[training.rows].all()


def test_signal_region_is_always_labelled_one(events, offered):
    for seed in range(5):
        training = draw_mixtures(events, offered, 3, CWOLA, seed)
        in_sr = events["region"].to_numpy()[training.rows] == "SR"
        assert (training.labels == in_sr).all()


def test_labels_and_weights_hold_no_truth(events, offered):
    relabelled = events.assign(label=1 - events["label"])
    a, b = (draw_mixtures(e, offered, 10, CWOLA, 5) for e in (events, relabelled))
    for name in ("rows", "labels", "weights"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_classes_weigh_the_same(events, offered):
    training = draw_mixtures(events, offered, 10, CWOLA, 1)
    m1 = training.labels == 1
    assert set(training.weights[~m1]) == {1.0}
    assert training.weights[m1] == pytest.approx((~m1).sum() / m1.sum())


def test_signal_scale(events, offered):
    none = draw_mixtures(events, offered, 10, CWOLA | {"signal_scale": 0}, 1)
    assert not events["label"].to_numpy()[none.rows].any()
    double = draw_mixtures(events, offered, 10, CWOLA | {"signal_scale": 2}, 1)
    assert composition(events, double)[("vbf", "SR", 1)] == 246
    assert composition(events, double)[("z", "SR", 1)] == 610


def test_seed_decides_the_draw(events, offered):
    a, again, other = (draw_mixtures(events, offered, 10, CWOLA, s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.rows, again.rows)
    assert len(a.rows) == len(other.rows)
    assert not np.array_equal(a.rows, other.rows)


def test_every_event_offered_can_be_drawn(events, offered):
    drawn = np.zeros(len(events))
    for seed in range(60):
        drawn[draw_mixtures(events, offered, 20, CWOLA, seed).rows] += 1
    pool = ((events["process"] == "z") & (events["region"] == "SR")).to_numpy() & offered
    # 1220 of 1500 each time: the rate of each event is binomial around 0.81.
    assert drawn[pool].min() > 30
    assert drawn[pool].mean() == pytest.approx(60 * 1220 / 1500)


def test_shortage_names_process_region_numbers_and_the_remedy(events, offered):
    with pytest.raises(StatisticsError) as error:
        draw_mixtures(events, offered, 100, CWOLA, 1)
    text = str(error.value)
    # 300 of 400 offered at 12.3 per fb⁻¹ is the pool that ends first.
    assert "process vbf, region SR: 300 events available, 1230 needed at 100 fb⁻¹" in text
    assert "24.39 fb⁻¹" in text
    assert "scale_down" in text
    assert "\n" not in text
    draw_mixtures(events, offered, 24.39, CWOLA, 1)


def test_scale_down_uses_the_largest_luminosity_of_all_pools(events, offered, caplog):
    training = draw_mixtures(events, offered, 100, CWOLA | {"shortfall": "scale_down"}, 1)
    assert training.luminosity_fb == pytest.approx(300 / 12.3)
    counts = composition(events, training)
    assert counts[("vbf", "SR", 1)] == 300
    assert counts[("z", "SB", 0)] == round(90.04 * 300 / 12.3)
    assert "24.39 fb⁻¹" in caplog.text
    enough = draw_mixtures(events, offered, 10, CWOLA | {"shortfall": "scale_down"}, 1)
    assert enough.luminosity_fb == 10


def test_poisson_numbers(events, offered):
    config = CWOLA | {"numbers": "poisson"}
    numbers = [
        composition(events, draw_mixtures(events, offered, 10, config, seed))[("z", "SR", 1)]
        for seed in range(150)
    ]
    assert np.mean(numbers) == pytest.approx(610, abs=4 * np.sqrt(610 / 150))
    assert np.var(numbers) == pytest.approx(610, rel=0.45)


@pytest.mark.parametrize("seed", range(5))
def test_poisson_scaled_down_fills_the_pool_that_ends_first(events, offered, seed):
    config = CWOLA | {"numbers": "poisson", "shortfall": "scale_down"}
    training = draw_mixtures(events, offered, 100, config, seed)
    keys = ["process", "region"]
    available = events[offered].groupby(keys).size()
    share = (events.iloc[training.rows].groupby(keys).size() / available).dropna()
    assert share.max() == 1
    rate = events.groupby(keys)["weight_fb"].sum()[share.idxmax()]
    expected = rate * training.luminosity_fb
    assert poisson.cdf(available[share.idxmax()], expected) == pytest.approx(0.5, abs=0.499)
    with pytest.raises(StatisticsError):
        draw_mixtures(
            events, offered, training.luminosity_fb * 1.001, config | {"shortfall": "error"}, seed
        )
    again = draw_mixtures(events, offered, training.luminosity_fb * 0.999, config, seed)
    assert again.luminosity_fb == training.luminosity_fb * 0.999


def test_empty_mixture(events, offered):
    with pytest.raises(StatisticsError, match=r"M2 \(region SB\) is empty"):
        draw_mixtures(
            events[events["region"] != "SB"], offered[events["region"] != "SB"], 9, CWOLA, 1
        )
    with pytest.raises(StatisticsError, match=r"is empty at 0\.001"):
        draw_mixtures(events, offered, 0.001, CWOLA, 1)
    with pytest.raises(StatisticsError, match="is empty"):
        draw_mixtures(events.assign(region=""), offered, 10, CWOLA, 1)


def test_a_pool_with_no_event_offered(events):
    offered = ~((events["process"] == "w") & (events["region"] == "SB")).to_numpy()
    with pytest.raises(StatisticsError, match="process w, region SB: 0 events available"):
        draw_mixtures(events, offered, 1, CWOLA, 1)


@pytest.mark.parametrize("weight", [-0.1, np.nan])
def test_weights_that_cannot_be_used(events, offered, weight):
    wrong = events.copy()
    wrong.loc[700, "weight_fb"] = weight
    for make in (
        lambda: draw_mixtures(wrong, offered, 1, CWOLA, 1),
        lambda: labelled_events(wrong, offered, {}),
    ):
        with pytest.raises(StatisticsError, match=r"process z: 1 events have a negative"):
            make()


def test_unweighting_gives_the_weighted_distribution():
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, 40000)
    kept = unweight(x, np.random.default_rng(6))
    # Density ∝ x has mean 2/3 and keeps ⟨w⟩ / w_max = 1/2.
    assert kept.mean() == pytest.approx(0.5, abs=0.01)
    assert x[kept].mean() == pytest.approx(2 / 3, abs=0.005)


def test_equal_weights_keep_every_event():
    assert unweight(np.full(5, 0.3), np.random.default_rng(1)).all()
    assert not unweight(np.zeros(5), np.random.default_rng(1)).any()
    assert unweight(np.array([0.0, 1.0]), np.random.default_rng(1)).tolist() == [False, True]


def test_mixture_of_weighted_events_follows_the_weights():
    events = event_table([("z", 0, "SR", 6000, 1.0), ("z", 0, "SB", 6000, 1.0)])
    heavy = np.arange(len(events)) % 2 == 0
    events["weight_fb"] = np.where(heavy, 3.0, 1.0)
    training = draw_mixtures(events, np.ones(len(events), bool), 0.1, CWOLA, 1)
    assert len(training.rows) == 2400
    assert heavy[training.rows].mean() == pytest.approx(0.75, abs=0.03)


MIXTURE = {"mixture": {"signal": {"vbf": 0.4, "ggf": 0.6}, "background": {"z": 0.75, "w": 0.15}}}


def test_supervised_weights_follow_the_mixture(events, offered):
    training = labelled_events(events, offered, MIXTURE)
    assert (training.rows == np.flatnonzero(offered)).all()
    taken = events.iloc[training.rows]
    assert (training.labels == taken["label"]).all()
    total = training.weights.sum(dtype=float)
    assert total == pytest.approx(len(training.rows))
    share = taken.assign(w=training.weights).groupby("process")["w"].sum() / total
    assert share.to_dict() == pytest.approx({"vbf": 0.5, "z": 0.5 * 5 / 6, "w": 0.5 / 6})


def test_supervised_weights_without_mixture_follow_the_yields(events, offered):
    training = labelled_events(events, offered, {})
    taken = events.iloc[training.rows]
    background = (taken["label"] == 0).to_numpy()
    ratio = training.weights[background] / taken["weight_fb"].to_numpy()[background]
    assert ratio == pytest.approx(ratio[0])
    assert training.weights[background].sum(dtype=float) == pytest.approx(len(training.rows) / 2)


def test_supervised_process_without_a_share(events, offered):
    config = {"mixture": {"signal": {"vbf": 1}, "background": {"z": 1}}}
    with pytest.raises(ConfigError, match="background' lacks process 'w'"):
        labelled_events(events, offered, config)


def test_supervised_without_signal(events, offered):
    with pytest.raises(StatisticsError, match="signal"):
        labelled_events(events[events["label"] == 0], offered[events["label"] == 0], {})


def test_validation_has_its_share_of_each_label():
    labels = np.repeat([1, 0], [50, 1000]).astype(np.float32)
    training = TrainingSet(np.arange(1050) * 3, labels, np.ones(1050, np.float32))
    train, valid = split_validation(training, 0.2, 4)
    assert (valid.labels.sum(), len(valid.labels)) == (10, 210)
    assert sorted([*train.rows, *valid.rows]) == training.rows.tolist()
    again = split_validation(training, 0.2, 4)[1]
    other = split_validation(training, 0.2, 5)[1]
    assert (again.rows == valid.rows).all()
    assert (other.rows != valid.rows).any()


def test_validation_of_very_few_events():
    labels = np.array([1, 1, 0, 0], np.float32)
    training = TrainingSet(np.arange(4), labels, labels)
    train, valid = split_validation(training, 0.01, 1)
    assert sorted(train.labels) == sorted(valid.labels) == [0, 1]
    with pytest.raises(StatisticsError, match="1 training events have label 1"):
        split_validation(training.take(np.arange(4) > 0), 0.2, 1)


def test_thinning_keeps_shares_and_balance():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.float32([1, 0]), [300, 900])
    full = TrainingSet(np.arange(1200), labels, rng.uniform(1, 3, 1200).astype(np.float32), 36.0)
    thinned = thin(full, 400, 1)
    assert [(thinned.labels == label).sum() for label in (1, 0)] == [100, 300]
    assert (np.diff(thinned.rows) > 0).all()
    assert (thinned.labels == labels[thinned.rows]).all()
    for label in (0, 1):
        mean = full.weights[full.labels == label].mean()
        assert thinned.weights[thinned.labels == label].mean() == pytest.approx(mean, rel=1e-5)
    assert thinned.luminosity_fb == 36.0
    assert np.array_equal(thinned.rows, thin(full, 400, 1).rows)
    assert not np.array_equal(thinned.rows, thin(full, 400, 2).rows)
    assert thin(full, 1200, 1) is full


def test_thinning_refuses_to_lose_a_label():
    labels = np.repeat(np.float32([1, 0]), [10, 990])
    with pytest.raises(StatisticsError, match=r"training\.max_events.*100 leaves 1 events"):
        thin(TrainingSet(np.arange(1000), labels, np.ones(1000, np.float32)), 100, 1)
