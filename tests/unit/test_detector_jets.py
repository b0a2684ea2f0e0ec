import numpy as np
import pytest
from detector_events import CARD, make_events, particle

from cwolaflow.production.detector import read_card
from cwolaflow.production.detector.flow import FlowObjects
from cwolaflow.production.detector.jets import (
    Jets,
    cluster,
    constituent_summary,
    parton_flavour,
    tag,
    tau_charge,
)


@pytest.fixture(scope="module")
def card():
    return read_card(CARD)


def flow_of(*objects):
    """Energy-flow objects from (event, pt, eta, phi, charge, kind, mass)."""
    event, pt, eta, phi, charge, kind, mass = (
        np.array(column) for column in zip(*objects, strict=True)
    )
    return FlowObjects(
        event=event,
        kind=kind,
        source=np.arange(len(event)),
        pid=np.where(kind == 0, 211, np.where(kind == 1, 22, 0)),
        charge=charge,
        pt=pt.astype(float),
        eta=eta.astype(float),
        phi=phi.astype(float),
        mass=mass.astype(float),
        time=np.full(len(event), 1290.0),
    )


def jets_at(*jets):
    """Massless jets from (event, pt, eta, phi), without constituents."""
    event, pt, eta, phi = (np.array(column, float) for column in zip(*jets, strict=True))
    none = np.zeros(0, np.int64)
    return Jets(
        event.astype(np.int64),
        pt * np.cos(phi),
        pt * np.sin(phi),
        pt * np.sinh(eta),
        pt * np.cosh(eta),
        none,
        none,
    )


def test_clusters_of_three_events():
    flow = flow_of(
        (0, 15, 0.0, 0.0, 1, 0, 0.14),
        (0, 40, 1.0, 2.0, 0, 1, 0),
        (0, 15, 0.3, 0.0, 0, 2, 0),
        (2, 30, 0.0, np.pi - 0.1, 0, 1, 0),
        (2, 30, 0.0, -np.pi + 0.1, -1, 0, 0.14),
        (2, 19, 2.0, 0.0, 0, 1, 0),
    )
    jets = cluster(flow, 3, radius=0.5, pt_min=20)
    np.testing.assert_array_equal(jets.event, [0, 0, 2])
    np.testing.assert_allclose(jets.pt, [40, 30, 60 * np.cos(0.1)])
    np.testing.assert_allclose(jets.phi[:2], [2, 0], atol=1e-12)
    assert abs(jets.phi[2]) == pytest.approx(np.pi)
    momenta = flow.momenta()
    for name, total in (("px", jets.px), ("py", jets.py), ("pz", jets.pz), ("E", jets.energy)):
        np.testing.assert_allclose(jets.sum(momenta[name]), total)
    np.testing.assert_array_equal(jets.sum((flow.charge != 0) * 1.0), [0, 1, 1])


def test_radius_decides():
    flow = flow_of((0, 50, 0.0, 0.0, 0, 1, 0), (0, 40, 0.6, 0.0, 0, 1, 0))
    assert len(cluster(flow, 1, radius=0.5, pt_min=20)) == 2
    assert len(cluster(flow, 1, radius=0.8, pt_min=20)) == 1


def test_nothing_to_cluster():
    assert len(cluster(flow_of((1, 3, 0.0, 0.0, 0, 1, 0)), 3, radius=0.5, pt_min=20)) == 0


def test_mass_of_two_massless_constituents():
    flow = flow_of((0, 30, 0.1, 0.0, 0, 1, 0), (0, 20, -0.1, 0.2, 0, 1, 0))
    jets = cluster(flow, 1, radius=0.5, pt_min=20)
    expected = np.sqrt(2 * 30 * 20 * (np.cosh(0.2) - np.cos(0.2)))
    assert jets.mass[0] == pytest.approx(expected)
    assert jets.scaled(np.array([1.1])).mass[0] == pytest.approx(1.1 * expected)


@pytest.mark.parametrize(
    ("pt", "eta", "factor"),
    [(20, 0, 1.145644), (50, 2, 1.047282), (50, -2, 1.047282), (100, 0, 1.030776)],
)
def test_energy_scale(card, pt, eta, factor):
    assert card.energy_scale(pt=np.array([pt]), eta=np.array([eta]))[0] == pytest.approx(
        factor, abs=1e-6
    )


@pytest.mark.parametrize(
    ("pt", "b", "c", "other"),
    [
        (30, 0.55044, 0.11862, 0.01114),
        (50, 0.63675, 0.16815, 0.0119),
        (100, 0.71295, 0.20947, 0.0138),
        (300, 0.67824, 0.17985, 0.0214),
    ],
)
def test_b_tag_efficiency(card, pt, b, c, other):
    jets = jets_at(*[(0, pt, 0.5, 0.1)] * 4)
    flavour = np.array([5, 4, 1, 21])
    _, efficiency = tag(flavour, jets, card.b_tag, np.random.default_rng(0))
    np.testing.assert_allclose(efficiency, [b, c, other, other], atol=1e-5)


def test_tags_are_drawn_with_their_efficiency(card):
    jets = jets_at(*[(0, 50, 0.5, 0.1)] * 20000)
    flavour = np.repeat([15, 0], 10000)
    tagged, _ = tag(flavour, jets, card.tau_tag, np.random.default_rng(1))
    assert tagged[:10000].mean() == pytest.approx(0.6, abs=0.02)
    assert tagged[10000:].mean() == pytest.approx(0.01, abs=0.004)


FLAVOUR_CASES = {
    "nothing": ([], 0),
    "gluon": ([particle(21, 5, 0.1, 0.1, status=44)], 21),
    "hardest parton does not win": (
        [particle(21, 90, 0, 0, status=23), particle(1, 2, 0.2, 0, status=51)],
        1,
    ),
    "heaviest quark wins": (
        [particle(-5, 1.5, 0.3, 0, status=71), particle(4, 80, 0, 0, status=23), particle(3, 9, 0, 0, status=33)],
        5,
    ),
    "antiquark": ([particle(-3, 5, 0, 0, status=23)], 3),
    "outside the cone": ([particle(5, 50, 0.5, 0, status=23), particle(21, 5, 0.48, 0, status=23)], 21),
    "soft parton": ([particle(5, 0.99, 0, 0, status=71)], 0),
    "final status": ([particle(5, 50, 0, 0, status=1)], 0),
    "top and tau do not count": ([particle(6, 50, 0, 0, status=22), particle(15, 50, 0, 0, status=2)], 0),
    "across the seam of phi": ([particle(2, 9, 0, 2 * np.pi - 0.3, status=23)], 2),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAVOUR_CASES)
def test_flavour(card, name):
    partons, flavour = FLAVOUR_CASES[name]
    bystander = [particle(5, 50, 0, 0, status=23)]
    events = make_events(bystander, partons, bystander)
    found = parton_flavour(jets_at((1, 60, 0.0, 0.1)), events, card.settings["flavour"])
    if name == "across the seam of phi":
        found = parton_flavour(jets_at((1, 60, 0.0, -0.2)), events, card.settings["flavour"])
    assert found[0] == flavour


def test_forward_partons_give_no_flavour(card):
    events = make_events(
        [particle(2, 50, 2.51, 0, status=23), particle(1, 50, -2.49, 0, status=23)]
    )
    jets = jets_at((0, 60, 2.4, 0.0), (0, 60, -2.9, 0.0))
    np.testing.assert_array_equal(parton_flavour(jets, events, card.settings["flavour"]), [0, 1])


def tau_decay(charge, daughters, eta=0.0, phi=0.0, first=0):
    """A tau and its daughters (pid, pt) along one direction."""
    tau = particle(-15 * charge, 40, eta, phi, m=1.777, status=2)
    return [tau, *(particle(pid, pt, eta, phi, mother=first) for pid, pt in daughters)]


def test_tau_in_a_jet(card):
    events = make_events(
        tau_decay(1, [(-16, 15), (211, 20), (111, 5)]),
        tau_decay(-1, [(16, 15), (-12, 5), (11, 20)]),
    )
    jets = jets_at((0, 30, 0.1, 0.1), (0, 30, 0.0, 2.0), (1, 30, 0.4, 0.0))
    # A tau that decays to a lepton counts as well.
    np.testing.assert_array_equal(tau_charge(jets, events, card.settings["tau_tag"]), [1, 0, -1])


def test_tau_direction_is_that_of_its_visible_daughters(card):
    event = tau_decay(1, [(-16, 30), (211, 20)])
    event[1] = particle(-16, 30, 0.0, 1.5, mother=0)
    jets = jets_at((0, 30, 0.0, 0.0), (0, 30, 0.0, 1.0))
    charge = tau_charge(jets, make_events(event), card.settings["tau_tag"])
    np.testing.assert_array_equal(charge, [1, 0])


def test_tau_without_daughters_or_with_a_leptonic_w_does_not_count(card):
    alone = [particle(15, 40, status=2)]
    by_w = [
        particle(15, 40, status=2),
        particle(-24, 30, m=80, status=22, mother=0),
        particle(16, 10, mother=0),
        particle(11, 20, mother=1),
        particle(-12, 10, mother=1),
    ]
    hadronic_w = [
        *by_w[:3],
        particle(1, 20, mother=1, status=71),
        particle(-2, 10, mother=1, status=71),
    ]
    jets = jets_at((0, 30, 0, 0), (1, 30, 0, 0), (2, 30, 0, 0))
    events = make_events(alone, by_w, hadronic_w)
    np.testing.assert_array_equal(tau_charge(jets, events, card.settings["tau_tag"]), [0, 0, -1])


def test_constituent_summary():
    flow = flow_of(
        (0, 30, 0.0, 0.0, 1, 0, 0.0),
        (0, 10, 0.2, 0.0, 0, 1, 0),
        (0, 10, 0.0, 0.1, 0, 2, 0),
        (0, 25, 0.0, 3.0, -1, 0, 0.0),
        (1, 25, 0.0, 3.0, 0, 2, 0.0),
    )
    jets = cluster(flow, 2, radius=0.5, pt_min=20)
    summary = constituent_summary(jets, flow)
    np.testing.assert_array_equal(summary["NCharged"], [1, 1, 0])
    np.testing.assert_array_equal(summary["NNeutrals"], [2, 0, 1])
    np.testing.assert_array_equal(summary["Charge"], [1, -1, 0])
    np.testing.assert_allclose(
        summary["NeutralEnergyFraction"] + summary["ChargedEnergyFraction"], 1
    )
    assert summary["EhadOverEem"][0] == pytest.approx(1 / np.cosh(0.2))
    assert list(summary["EhadOverEem"][1:]) == [999.9, 999.9]
    np.testing.assert_allclose(summary["T"], 1290)
    # The second jet of event 0 is one particle wide: it inherits the width of the first.
    assert summary["DeltaEta"][1] == summary["DeltaEta"][0] > 0.1
    assert summary["DeltaEta"][2] == pytest.approx(0, abs=1e-9)
