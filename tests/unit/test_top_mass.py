from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.production.detector.particles import GeneratorEvents
from cwolaflow.production.generator import Generator
from cwolaflow.production.top_mass import (
    TOP_MASS,
    _box_integral,
    event_ratios,
    gluon_ratio,
    main,
    mean_ratios,
    quark_ratio,
    triangle_ratio,
)
from cwolaflow.selection.reweighting import load_weight_table

ROOT = Path(__file__).parents[2]
CARD = ROOT / "resources/pythia/ggf_hinv.cmnd"
HIGGS = 125.0


def mandelstam(energy, cosine):
    """Of massless + massless -> massless + Higgs boson, by partonic energy (GeV) and angle."""
    s = energy**2
    return s, -(s - HIGGS**2) * (1 - cosine) / 2, -(s - HIGGS**2) * (1 + cosine) / 2


RNG = np.random.default_rng(8)
S, T, U = mandelstam(RNG.uniform(200, 3000, 40), RNG.uniform(-0.95, 0.95, 40))


@pytest.mark.parametrize("order", ["stu", "tsu", "uts", "tus"])
def test_box_integral_is_its_definition(order):
    for number in range(6):
        invariants = {"s": S[number], "t": T[number], "u": U[number]}
        a, b, c = (invariants[name] for name in order)
        for v in (a + b + c, a, c):
            distance = TOP_MASS**2 * b / (c * a)

            def integrand(x, v=v, distance=distance):
                logarithm = np.log(1 - v * x * (1 - x) / TOP_MASS**2 - 1e-14j)
                return logarithm / (distance + x * (1 - x))

            cut = v > 4 * TOP_MASS**2
            half = np.sqrt(1 - 4 * TOP_MASS**2 / v) / 2 if cut else 0
            points = [0.5 - half, 0.5 + half] if cut else None
            expected = complex(
                *(
                    quad(lambda x, part=part: getattr(integrand(x), part), 0, 1, points=points)[0]
                    for part in ("real", "imag")
                )
            )
            result = _box_integral(*(np.array(value) for value in (a, b, c, v)), TOP_MASS)
            assert result == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_a_heavy_top_quark_is_the_heavy_top_limit():
    heavy = 2e4
    assert gluon_ratio(S, T, U, heavy) == pytest.approx(1, abs=1e-4)
    assert quark_ratio(S, T + U, heavy) == pytest.approx(1, abs=0.01)
    assert quark_ratio(T, S + U, heavy) == pytest.approx(1, abs=0.01)
    assert triangle_ratio(HIGGS, heavy) == pytest.approx(1, abs=1e-4)


def test_the_triangle_has_its_series_in_the_higgs_mass():
    rho = (HIGGS / TOP_MASS) ** 2
    assert triangle_ratio(HIGGS) == pytest.approx(
        1 + 7 / 60 * rho + 1543 / 100800 * rho**2, rel=2e-3
    )


@pytest.mark.parametrize("energy", [150, 300, 345.5, 600, 2000])
def test_collinear_and_soft_radiation_factorises(energy):
    # The amplitude is then that of gg -> H times a splitting that knows no top quark.
    s, t, u = mandelstam(energy, 1 - 1e-6)
    inclusive = triangle_ratio(HIGGS)
    assert gluon_ratio(s, t, u) == pytest.approx(inclusive, rel=1e-3)
    assert quark_ratio(t, s + u) == pytest.approx(inclusive, rel=1e-3)
    soft = mandelstam(HIGGS * (1 + 1e-4), 0.3)
    assert gluon_ratio(*soft) == pytest.approx(inclusive, rel=1e-3)


def test_gluons_are_alike():
    expected = gluon_ratio(S, T, U)
    for order in ((T, U, S), (U, S, T), (S, U, T), (T, S, U), (U, T, S)):
        assert gluon_ratio(*order) == pytest.approx(expected, rel=1e-9)


def test_a_hard_boson_resolves_the_loop():
    s, t, u = mandelstam(2500.0, 0.0)
    assert gluon_ratio(s, t, u) < 0.1
    assert quark_ratio(t, s + u) < 0.1
    # Just above the threshold of a pair of top quarks the loop is enhanced, not suppressed.
    assert gluon_ratio(*mandelstam(350.0, 0.0)) > triangle_ratio(HIGGS)


def hard_event(incoming, outgoing, energy=700.0, cosine=0.4):
    """Record with beams, hard process and a copy of the boson, as PYTHIA orders it."""
    momentum = (energy**2 - HIGGS**2) / (2 * energy)
    sine = np.sqrt(1 - cosine**2)
    jet = [momentum * sine, 0, momentum * cosine, momentum]
    boson = [-jet[0], 0, -jet[2], energy - momentum]
    beams = [[0, 0, 6500, 6500], [0, 0, -6500, 6500]]
    partons = [[0, 0, energy / 2, energy / 2], [0, 0, -energy / 2, energy / 2]]
    last = [boson if code == 25 else jet for code in outgoing]
    momenta = np.array([*beams, *partons, *last, boson], float)
    n = len(momenta)
    zeros = np.zeros(n)
    return GeneratorEvents(
        offsets=np.array([0, n]),
        pid=np.array([2212, 2212, *incoming, *outgoing, 25]),
        status=np.zeros(n, int),
        mother=np.zeros(n, int),
        px=momenta[:, 0], py=momenta[:, 1], pz=momenta[:, 2], e=momenta[:, 3],
        m=zeros, x=zeros, y=zeros, z=zeros, t=zeros, weight=np.ones(1),
    )  # fmt: skip


@pytest.mark.parametrize("outgoing_first", [True, False])
def test_events_get_the_amplitude_of_their_partons(outgoing_first):
    s, t, u = mandelstam(700.0, 0.4)
    inclusive = triangle_ratio(HIGGS)
    # t belongs to the first incoming parton and the jet.
    for incoming, jet, expected in (
        ((21, 21), 21, gluon_ratio(s, t, u)),
        ((2, 21), 2, quark_ratio(t, s + u)),
        ((21, -1), -1, quark_ratio(u, s + t)),
        ((-3, 3), 21, quark_ratio(s, t + u)),
    ):
        outgoing = (25, jet) if outgoing_first else (jet, 25)
        ratio = event_ratios(hard_event(incoming, outgoing))
        assert ratio == pytest.approx(expected / inclusive, rel=1e-6)


def test_the_table_of_the_workflow_is_what_the_amplitudes_give():
    table = load_weight_table(ROOT / "resources/top_mass/ggf_hinv.yaml")
    assert table.variable == "missing_et"
    merged = [150.0, 200.0, 300.0, 500.0, 850.0]
    mean, error = mean_ratios(CARD, merged, events=3000, seed=11)
    assert (error < 0.03).all()
    for low, high, value, uncertainty in zip(merged, merged[1:], mean, error, strict=False):
        inside = (table.edges[:-1] >= low) & (table.edges[1:] <= high)
        weights = table.weights[inside]
        # The mean of a wide bin lies among the weights of its narrow ones.
        assert weights.min() - 3 * uncertainty < value < weights.max() + 3 * uncertainty
    assert (np.diff(table.weights) < 0).all()


def test_weighting_the_spectrum_of_the_generator_does_not_move_the_mean():
    off = dict.fromkeys(("PartonLevel:MPI", "HadronLevel:all"), False)
    batch = next(Generator(CARD, off, seed=5).batches(2000, 2000))
    plain = event_ratios(batch)
    mean, error = mean_ratios(CARD, [0.0, 1e5], events=3000, seed=6)
    spread = np.hypot(error[0], plain.std() / np.sqrt(len(plain)))
    assert abs(plain.mean() - mean[0]) < 4 * spread


def test_the_command_writes_a_table_that_reweights(tmp_path, monkeypatch):
    path = tmp_path / "weights.yaml"
    arguments = ["top_mass", str(CARD), str(path), "--events", "400", "--variable", "m_jj"]
    monkeypatch.setattr("sys.argv", [*arguments, "--edges", "150", "250", "1000"])
    main()
    table = load_weight_table(path)
    assert table.variable == "m_jj"
    assert table.edges.tolist() == [150, 250, 1000]
    assert 1 > table.weights[0] > table.weights[1] > 0.2
    assert "172.5 GeV" in table.source and "400 events" in table.source


@pytest.mark.parametrize("edges", [[200.0], [300.0, 200.0], [200.0, 200.0]])
def test_edges_that_do_not_ascend_are_named(edges):
    with pytest.raises(ConfigError, match=r"'edges' .*200.* are not ascending"):
        mean_ratios(CARD, edges, 100, 1)


def test_the_command_says_what_is_wrong_in_one_line(monkeypatch, tmp_path):
    table = tmp_path / "table.yaml"
    command = ["top_mass", str(CARD), str(table), "--edges", "300", "200"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match=r"'edges' .*300.* are not ascending: give"):
        main()
    assert not table.exists()


def test_an_empty_bin_names_its_remedy():
    with pytest.raises(StatisticsError, match="between 5000 and 6000 GeV; ask for more events"):
        mean_ratios(CARD, [150.0, 5000.0, 6000.0], events=20, seed=1)
