"""Cards, filters, cross sections, Les Houches files and errors of the generator."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from cwolaflow.errors import ConfigError, InputError, StatisticsError
from cwolaflow.production.filters import (
    FilterHook,
    LeptonCuts,
    PartonCuts,
    PartonFilter,
    PhaseSpace,
    ShowerFilter,
    filter_settings,
    invisible_pt,
)
from cwolaflow.production.generator import Generator, card_hash, pythia_seed
from cwolaflow.production.hidden_valley import dark_jet_settings

CARDS = Path(__file__).parents[2] / "resources" / "pythia"
HARD_PROCESS_ONLY = {
    "PartonLevel:ISR": False,
    "PartonLevel:FSR": False,
    "PartonLevel:MPI": False,
    "PartonLevel:Remnants": False,
    "HadronLevel:all": False,
    "Check:event": False,
}
LHE_HEAD = """<LesHouchesEvents version="3.0">
<init>
2212 2212 6500 6500 0 0 247000 247000 3 1
25 0.1 1 1
</init>
"""
LHE_EVENT = """<event>
4 1 1.0 91.2 0.0078 0.118
21 -1 0 0 501 502 0 0 500 500 0 0 9
21 -1 0 0 503 501 0 0 -500 500 0 0 9
21 1 1 2 503 504 300 0 400 500 0 0 9
21 1 1 2 504 502 -300 0 -400 500 0 0 9
</event>
"""
LHE_TAIL = "</LesHouchesEvents>\n"


def generate(name, events, settings=HARD_PROCESS_ONLY, event_filter=None, seed=1, cuts=None):
    generator = Generator(CARDS / f"{name}.cmnd", settings, event_filter, seed, cuts)
    return list(generator.batches(events)), generator.cross_section


def stack(batches, name):
    return np.concatenate([getattr(batch, name) for batch in batches])


def hard_kinematics(batches):
    """Invisible pT, and pT of the leading and |Delta eta| of the two outgoing quarks, per event."""
    rows = []
    for batch in batches:
        for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            pid, status = batch.pid[start:stop], batch.status[start:stop]
            px, py, pz = (getattr(batch, axis)[start:stop] for axis in ("px", "py", "pz"))
            dark = (np.abs(pid) == 1000022) & (status == 1)
            quark = (np.abs(pid) < 6) & (status == 1)
            pt = np.hypot(px[quark], py[quark])
            eta = np.arcsinh(pz[quark] / pt)
            assert len(eta) == 2
            rows.append((np.hypot(px[dark].sum(), py[dark].sum()), pt.max(), abs(np.ptp(eta))))
    return np.array(rows)


def record(batch):
    return np.stack([batch.pid, batch.status, batch.mother, batch.px, batch.e], axis=1)


# Cards.


@pytest.mark.parametrize("card", sorted(CARDS.glob("*.cmnd")), ids=lambda card: card.stem)
def test_every_card_makes_events(card):
    if card.stem == "lhe":
        with pytest.raises(InputError, match=r"Beams:LHEF"):
            Generator(card)
        return
    # Soft collisions are multiple interactions.
    settings = {} if card.stem == "minimum_bias" else dict(HARD_PROCESS_ONLY)
    if card.stem == "dark_jets":
        settings |= dark_jet_settings(10, "indirect")
    generator = Generator(card, settings)
    assert sum(len(batch) for batch in generator.batches(5)) == 5
    assert generator.cross_section.pb > 0


@pytest.mark.parametrize(
    ("name", "sigma_pb", "relative"),
    [
        ("vbf_hinv", 3.545, 0.02),
        ("ggf_hinv", 1.418, 0.02),
        ("znunu_qcd", 32.4, 0.02),
        ("wlnu_qcd", 126.7, 0.02),
        ("vbf_haa", 4.035 * 2.27e-3, 0.04),
        ("ggf_haa", 29.46 * 2.27e-3, 0.04),
        ("qcd_dijet", 7.71, 0.04),
    ],
)
def test_cross_sections(name, sigma_pb, relative):
    _, cross_section = generate(name, 5000)
    assert cross_section.pb == pytest.approx(sigma_pb, rel=relative)
    assert 0 < cross_section.error_pb < 0.02 * sigma_pb
    assert (cross_section.tried, cross_section.accepted) == (5000, 5000)


@pytest.mark.parametrize(
    ("name", "pids"),
    [
        ("vbf_haa", {22}),
        ("ggf_hzz4l", {11, 13}),
        ("vbf_hza2l", {22, 11, 13}),
        ("wlnu_qcd", {11, 12, 13, 14, 15, 16}),
        ("znunu_qcd", {12, 14, 16}),
        ("hh4b_500", {5}),
    ],
)
def test_decays(name, pids):
    (batch,), _ = generate(name, 60)
    products = batch.pid[(batch.status == 1) & ((np.abs(batch.pid) > 9) | (name[:2] == "hh"))]
    assert set(np.abs(products)) - {21} == pids


@pytest.mark.parametrize("decay", ["indirect", "direct"])
@pytest.mark.parametrize("scale", [1, 5, 10, 20, 30, 40, 50])
def test_dark_jets_end_in_quarks_of_the_standard_model(scale, decay):
    # Showers and decays of the dark sector alone.
    settings = dark_jet_settings(scale, decay) | {
        "PartonLevel:ISR": False,
        "PartonLevel:MPI": False,
        "HadronLevel:Hadronize": True,
    }
    (batch,), cross_section = generate("dark_jets", 8, settings)
    assert cross_section.pb > 0
    pid, mother = np.abs(batch.pid), batch.mother + batch.offsets[batch.event]
    assert not np.any((pid >= 4900000) & (batch.status == 1))
    meson = (pid > 4900110) & (pid < 4900340)
    rho, pion = meson & (pid % 10 == 3), meson & (pid % 10 == 1)
    assert rho.sum() > 8
    units = {"indirect": (2.6944, 1.0), "direct": (3.2588, 1.8)}[decay]
    np.testing.assert_allclose(batch.m[rho], units[0] * scale, rtol=1e-4)
    np.testing.assert_allclose(batch.m[pion], units[1] * scale, rtol=1e-4)
    of_rho = (batch.mother >= 0) & rho[mother]
    of_pion = (batch.mother >= 0) & pion[mother]
    assert set(pid[of_pion]) == {1}
    assert np.all(pion[of_rho]) if decay == "indirect" else set(pid[of_rho]) == {1}
    # The whole Z' becomes visible; its window is 5 to 6 TeV.
    final = batch.status == 1
    energy, *momentum = (
        np.bincount(batch.event[final], values[final])
        for values in (batch.e, batch.px, batch.py, batch.pz)
    )
    # Without initial-state showers the remnants of the beams are all else that there is.
    assert energy == pytest.approx(np.full(8, 13000), rel=1e-3)
    assert np.abs(momentum).max() < 13


def test_dijets_of_the_published_benchmark():
    (batch,), _ = generate("qcd_dijet", 250, cuts=PhaseSpace(PartonCuts(abs_eta_max=2.2)))
    out = (batch.status == 23) | (batch.status == 1)
    out &= (np.abs(batch.pid) <= 5) | (batch.pid == 21)
    assert out.sum() == 2 * len(batch)
    px, py, pz, energy = (getattr(batch, n)[out].reshape(-1, 2) for n in ("px", "py", "pz", "e"))
    pt = np.hypot(px, py)
    assert pt.min() > 699
    square = [np.sum(values, axis=1) ** 2 for values in (energy, px, py, pz)]
    assert np.sqrt(square[0] - square[1] - square[2] - square[3]).min() > 2999
    assert 1.5 < np.abs(np.arcsinh(pz / pt)).max() < 2.2
    (free,), _ = generate("qcd_dijet", 250)
    out = (free.status == 1) & ((np.abs(free.pid) <= 5) | (free.pid == 21))
    assert np.abs(np.arcsinh(free.pz[out] / np.hypot(free.px, free.py)[out])).max() > 2.2


def test_dark_masses_of_the_published_benchmark():
    settings = dark_jet_settings(10, "indirect")
    assert float(settings["4900213:m0"]) == pytest.approx(26.944, abs=1e-3)
    assert float(settings["4900111:m0"]) == 10
    assert float(settings["4900103:m0"]) == pytest.approx(10.3306, abs=1e-4)


@pytest.mark.parametrize("scale", [1, 5, 10, 20, 30, 40, 50])
def test_only_indirect_decays_have_room_for_two_pions(scale):
    for decay, room in (("indirect", True), ("direct", False)):
        settings = dark_jet_settings(scale, decay)
        rho, pion = (float(settings[f"49001{n}:m0"]) for n in ("13", "11"))
        assert (rho > 2 * pion) == room
        assert ("4900211" in settings["4900113:oneChannel"]) == room


@pytest.mark.parametrize(("scale", "decay"), [(10, "sideways"), (0.5, "direct")])
def test_impossible_dark_jets(scale, decay):
    with pytest.raises(ConfigError):
        dark_jet_settings(scale, decay)


def test_hash_of_a_card_ignores_comments(tmp_path):
    names = ("a", "b", "c")
    texts = ("HardQCD:all = on\n", "! why\nHardQCD:all = on ! so\n\n", "HardQCD:all = off\n")
    for name, text in zip(names, texts, strict=True):
        (tmp_path / name).write_text(text)
    first, second, third = (card_hash(tmp_path / name) for name in names)
    assert first == second != third


# Filters.


def test_process_filter_does_not_bias():
    cut = 100
    everything, free = generate("vbf_hinv", 12000)
    filtered, cross_section = generate(
        "vbf_hinv", 3500, event_filter=PartonFilter(invisible_pt_min=cut), seed=2
    )
    unfiltered, passed = hard_kinematics(everything), hard_kinematics(filtered)
    assert passed[:, 0].min() >= cut
    above = unfiltered[unfiltered[:, 0] >= cut]
    for column in range(3):
        assert ks_2samp(above[:, column], passed[:, column]).pvalue > 1e-3
    fraction = len(above) / len(unfiltered)
    expected = free.pb * fraction
    error = expected * np.sqrt((1 - fraction) / len(above)) + free.error_pb * fraction
    assert abs(cross_section.pb - expected) < 4 * np.hypot(error, cross_section.error_pb)
    assert cross_section.accepted == 3500
    assert cross_section.accepted / cross_section.tried == pytest.approx(fraction, abs=0.03)


def softest_and_most_forward(batches):
    """Smallest pT and largest |eta| of the outgoing quarks of every event."""
    rows = []
    for batch in batches:
        quark = (np.abs(batch.pid) < 6) & (batch.status == 1)
        assert np.all(np.bincount(batch.event[quark]) == 2)
        px, py, pz = (getattr(batch, axis)[quark].reshape(-1, 2) for axis in ("px", "py", "pz"))
        pt = np.hypot(px, py)
        rows.append(np.stack([pt.min(axis=1), np.abs(np.arcsinh(pz / pt)).max(axis=1)], axis=1))
    return np.concatenate(rows)


def check_cross_section_within(found, free, share):
    """Hold a cross section within cuts against the share of 8,000 free events that pass them."""
    expected, error = free.pb * share, free.pb * np.sqrt(share * (1 - share) / 8000)
    errors = np.hypot(error, np.hypot(free.error_pb * share, found.error_pb))
    assert abs(found.pb - expected) < 4 * errors


@pytest.mark.parametrize(
    "cuts", [{"pt_min": 20}, {"abs_eta_max": 4}, {"pt_min": 20, "abs_eta_max": 5}]
)
def test_cuts_on_partons_are_the_phase_space_of_a_process(cuts):
    everything, free = generate("vbf_haa", 8000)
    within, cross_section = generate("vbf_haa", 3000, cuts=PhaseSpace(PartonCuts(**cuts)), seed=2)
    unfiltered, passed = map(softest_and_most_forward, (everything, within))
    is_within = unfiltered[:, 0] >= cuts.get("pt_min", 0)
    is_within &= unfiltered[:, 1] <= cuts.get("abs_eta_max", np.inf)
    assert passed[:, 0].min() >= cuts.get("pt_min", 0)
    assert passed[:, 1].max() <= cuts.get("abs_eta_max", np.inf)
    for column in range(2):
        assert ks_2samp(unfiltered[is_within][:, column], passed[:, column]).pvalue > 1e-3
    assert (cross_section.tried, cross_section.accepted) == (3000, 3000)
    share = is_within.mean()
    assert 0.5 < share < 0.95
    check_cross_section_within(cross_section, free, share)


def leptons_of_events(batches):
    """Smallest pT, largest |eta| and smallest distance of the four leptons of every event."""
    rows = []
    for batch in batches:
        lepton = np.isin(np.abs(batch.pid), (11, 13)) & (batch.status == 1)
        assert np.all(np.bincount(batch.event[lepton]) == 4)
        px, py, pz = (getattr(batch, axis)[lepton].reshape(-1, 4) for axis in ("px", "py", "pz"))
        pt, phi = np.hypot(px, py), np.arctan2(py, px)
        eta = np.arcsinh(pz / pt)
        first, second = np.triu_indices(4, 1)
        turned = np.angle(np.exp(1j * (phi[:, first] - phi[:, second])))
        distance = np.hypot(eta[:, first] - eta[:, second], turned)
        rows.append(
            np.stack([pt.min(axis=1), np.abs(eta).max(axis=1), distance.min(axis=1)], axis=1)
        )
    return np.concatenate(rows)


@pytest.mark.parametrize(
    "cuts",
    [
        {"pt_min": 10},
        {"abs_eta_max": 2.5},
        {"delta_r_min": 0.4},
        {"pt_min": 10, "abs_eta_max": 2.5, "delta_r_min": 0.4},
    ],
)
def test_cuts_on_leptons_are_the_phase_space_of_a_process(cuts):
    everything, free = generate("ggf_hzz4l", 8000)
    phase_space = PhaseSpace(leptons=LeptonCuts(**cuts))
    within, cross_section = generate("ggf_hzz4l", 2000, cuts=phase_space, seed=2)
    unfiltered, passed = map(leptons_of_events, (everything, within))

    def passes(events):
        return (
            (events[:, 0] >= cuts.get("pt_min", 0))
            & (events[:, 1] <= cuts.get("abs_eta_max", np.inf))
            & (events[:, 2] >= cuts.get("delta_r_min", 0))
        )

    is_within = passes(unfiltered)
    assert passes(passed).all()
    for column in range(3):
        assert ks_2samp(unfiltered[is_within][:, column], passed[:, column]).pvalue > 1e-3
    assert (cross_section.tried, cross_section.accepted) == (2000, 2000)
    share = is_within.mean()
    assert 0.1 < share < 0.95
    check_cross_section_within(cross_section, free, share)


def test_events_must_be_within_all_cuts():
    phase_space = PhaseSpace(PartonCuts(20, 5), LeptonCuts(pt_min=10))
    within, _ = generate("vbf_hzz4l", 500, cuts=phase_space)
    assert leptons_of_events(within)[:, 0].min() >= 10
    partons = softest_and_most_forward(within)
    assert partons[:, 0].min() >= 20
    assert partons[:, 1].max() <= 5


def test_a_filter_looks_at_events_within_the_cuts():
    # Of the published VBF events 0.759 are within, from an independent run of 120,000.
    cuts, event_filter = PhaseSpace(PartonCuts(20, 5)), PartonFilter(100)
    both, cross_section = generate("vbf_hinv", 1500, event_filter=event_filter, cuts=cuts)
    within, of_cuts = generate("vbf_hinv", 6000, cuts=cuts, seed=2)
    _, free = generate("vbf_hinv", 6000, seed=3)
    assert hard_kinematics(both)[:, 0].min() >= 100
    share = (hard_kinematics(within)[:, 0] >= 100).mean()
    assert cross_section.accepted / cross_section.tried == pytest.approx(share, abs=0.04)
    assert cross_section.pb == pytest.approx(of_cuts.pb * share, rel=0.12)
    assert of_cuts.pb / free.pb == pytest.approx(0.759, abs=0.04)


def test_filtered_cross_sections_of_vbf():
    # 3.545 pb and 0.1429 +- 0.0008 from an independent run.
    _, cross_section = generate("vbf_hinv", 1500, event_filter=PartonFilter(invisible_pt_min=150))
    assert cross_section.pb == pytest.approx(0.509, abs=4 * cross_section.error_pb)
    assert cross_section.error_pb == pytest.approx(0.509 / np.sqrt(1500), rel=0.3)
    ratio = cross_section.accepted / cross_section.tried
    assert ratio == pytest.approx(0.1429, abs=0.015)


class Recorder(FilterHook):
    """Drops nothing, but notes what the filters would see."""

    def __init__(self, event_filter):
        super().__init__(event_filter)
        self.seen, self.jets = [], None

    def canVetoAfterHadronization(self):
        return True

    def doVetoPT(self, position, event):
        if position != 5:
            self.jets = self.cluster(event)
        return False

    def doVetoAfterHadronization(self, event):
        self.seen.append(self.jets)
        return False


def hadron_jets(batch):
    """Leading two anti-kt jets (R = 0.5) of visible final particles: (pt, rapidity, phi, m)."""
    import pythia8mc

    finder = pythia8mc.SlowJet(-1, 0.5, 20, 5, 1, 2)
    for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        event = pythia8mc.Event()
        for k in np.arange(start, stop)[batch.status[start:stop] == 1]:
            if abs(batch.pid[k]) not in (12, 14, 16):
                momentum = (batch.px[k], batch.py[k], batch.pz[k], batch.e[k], batch.m[k])
                event.append(int(batch.pid[k]), 1, 0, 0, *map(float, momentum))
        finder.analyze(event)
        yield [
            (finder.pT(i), finder.y(i), finder.phi(i), finder.m(i))
            for i in range(min(finder.sizeJet(), 2))
        ]


def test_shower_filter_keeps_what_a_selection_takes(monkeypatch):
    selection = ShowerFilter(
        0, 80, 40, delta_eta_min=1, delta_phi_max=1.5, mass_min=200, same_side_max=0
    )
    loose = ShowerFilter(
        10, 50, 20, delta_eta_min=0.6, delta_phi_max=2.1, mass_min=100, same_side_max=0.3
    )
    hooks = []

    def make(event_filter, cuts):
        hooks.append(Recorder(event_filter))
        return hooks[-1]

    monkeypatch.setattr("cwolaflow.production.generator.make_hook", make)
    batches, _ = generate("znunu_qcd", 500, {}, PartonFilter(shower=loose))
    selected = [selection.accepts(jets) for batch in batches for jets in hadron_jets(batch)]
    kept = [loose.accepts(jets) for jets in hooks[0].seen]
    assert len(kept) == len(selected) == 500
    assert np.mean(kept) < 0.5
    assert np.sum(selected) > 15
    assert np.all(np.array(kept)[selected])


def test_shower_filter_drops_and_counts():
    pair = ShowerFilter(10, 50, 20, delta_eta_min=0.7)
    settings = {"HadronLevel:all": False}
    _, free = generate("znunu_qcd", 200, settings)
    batches, cross_section = generate("znunu_qcd", 60, settings, PartonFilter(shower=pair))
    assert sum(map(len, batches)) == cross_section.accepted == 60
    assert cross_section.tried > 90
    efficiency = cross_section.accepted / cross_section.tried
    assert cross_section.pb == pytest.approx(free.pb * efficiency, rel=0.2)


@pytest.mark.parametrize(
    ("jets", "accepted"),
    [
        ([(90, 1.0, 0.0, 0), (50, -1.0, 1.0, 0)], True),
        ([(90, 1.0, 0.0, 0), (30, -1.0, 1.0, 0)], False),
        ([(70, 1.0, 0.0, 0), (50, -1.0, 1.0, 0)], False),
        ([(90, 1.0, 0.0, 0), (50, 0.2, 1.0, 0)], False),
        ([(90, 1.0, 3.0, 0), (50, -1.0, -3.0, 0)], True),  # 0.28 apart across the seam
        ([(90, 1.0, 0.0, 0), (50, -1.0, 2.0, 0)], False),
        ([(90, 1.0, 0.0, 0), (60, 0.5, 0.0, 0), (50, -1.0, 0.0, 0)], True),  # first and third
        ([(90, 1.0, 0.0, 0)], False),
        ([], False),
    ],
)
def test_shower_by_hand(jets, accepted):
    # m^2 = 2 * 90 * 50 * (cosh 2 - cos 1): 170.2 GeV in the first case.
    pair = ShowerFilter(10, 80, 40, delta_eta_min=1, delta_phi_max=1.5, mass_min=150)
    assert pair.accepts(jets) == accepted


@pytest.mark.parametrize(
    ("rapidities", "accepted"),
    [((1, -1), True), ((2, 0.2), True), ((2, 0.4), False), ((-0.2, -2), True), ((-0.4, -2), False)],
)
def test_jets_on_one_side(rapidities, accepted):
    pair = ShowerFilter(10, 80, 40, same_side_max=0.3)
    first, second = rapidities
    assert pair.accepts([(90, first, 0.0, 0), (50, second, 1.0, 0)]) == accepted


def test_boson_filter():
    settings = {"PartonLevel:MPI": False, "HadronLevel:all": False}
    shower = ShowerFilter(20, 25, 0, boson_pt_min=250)
    (batch,), cross_section = generate("znunu_qcd", 80, settings, PartonFilter(shower=shower))
    (free,), _ = generate("znunu_qcd", 250, settings)

    def neutrinos_pt(events):
        dark = np.isin(np.abs(events.pid), [12, 14, 16]) & (events.status == 1)
        px, py = (
            np.bincount(events.event[dark], axis[dark], len(events))
            for axis in (events.px, events.py)
        )
        return np.hypot(px, py)

    # What is radiated under 20 GeV moves the boson a little.
    assert neutrinos_pt(batch).min() > 230
    passing = np.mean(neutrinos_pt(free) > 250)
    assert cross_section.accepted / cross_section.tried == pytest.approx(passing, abs=0.07)


@pytest.mark.parametrize(("mass", "accepted"), [(170, True), (171, False)])
def test_pair_mass(mass, accepted):
    pair = ShowerFilter(10, 80, 40, mass_min=mass)
    assert pair.accepts([(90, 1.0, 0.0, 0), (50, -1.0, 1.0, 0)]) == accepted


@pytest.mark.parametrize(
    "config",
    [
        {"invisible_pt_min": 1e5},
        {"shower": {"scale": 50, "leading_pt_min": 1, "subleading_pt_min": 1e5}},
        {"shower": {"scale": 50, "leading_pt_min": 1, "subleading_pt_min": 1, "boson_pt_min": 1e5}},
    ],
)
def test_filter_that_nothing_passes(monkeypatch, config):
    monkeypatch.setattr("cwolaflow.production.filters.MAX_DROPPED", 200)
    with pytest.raises(StatisticsError, match="dropped 200 events in a row"):
        generate("znunu_qcd", 1, {}, PartonFilter.from_config(config))


def test_filter_that_drops_many_but_not_in_a_row(monkeypatch):
    monkeypatch.setattr("cwolaflow.production.filters.MAX_DROPPED", 200)
    _, cross_section = generate("vbf_hinv", 100, event_filter=PartonFilter(150))
    assert cross_section.tried > 500


DIPHOTON = {
    "scale": 5,
    "radius": 0.4,
    "leading_pt_min": 20,
    "subleading_pt_min": 16,
    "photons": 2,
    "photon_pt_min": 6,
    "photon_abs_eta_max": 2.6,
}


@pytest.mark.parametrize(
    ("products", "accepted"),
    [
        ([(22, 60, 0.1), (22, 40, -2.5)], True),
        ([(22, 60, 0.1), (22, 40, -2.7)], False),
        ([(22, 60, 0.1), (22, 5, 0)], False),
        ([(22, 60, 0.1), (22, 40, 0), (22, 1, 5)], True),
        ([(22, 60, 0.1), (11, 40, 0), (-13, 40, 0)], False),
        ([], False),
    ],
)
def test_photons_of_a_decay_by_hand(products, accepted):
    shower = ShowerFilter(5, 20, 16, photons=2, photon_pt_min=6, photon_abs_eta_max=2.6)
    assert shower.accepts_decay(products) == accepted


@pytest.mark.parametrize(
    ("products", "accepted"),
    [
        ([(11, 20, 0), (-11, 20, 0), (13, 9, 1), (-13, 8, 2)], True),
        ([(11, 20, 0), (-11, 20, 0), (13, 9, 1), (-13, 6, 2)], False),
        ([(11, 20, 0), (-11, 20, 0), (13, 9, 1), (22, 30, 2)], False),
        ([(11, 20, 0), (-11, 20, 0), (13, 9, 1), (-13, 8, -2.61)], False),
    ],
)
def test_leptons_of_a_decay_by_hand(products, accepted):
    shower = ShowerFilter(5, 20, 16, leptons=4, lepton_pt_min=7, lepton_abs_eta_max=2.6)
    assert shower.accepts_decay(products) == accepted


def test_only_jets_in_acceptance_count():
    jets = [(90, 1.0, 0.0, 0), (50, -5.6, 1.0, 0), (30, 2.0, 2.0, 0)]
    assert ShowerFilter(5, 20, 40).accepts(jets)
    assert not ShowerFilter(5, 20, 40, jet_abs_eta_max=5.5).accepts(jets)
    assert ShowerFilter(5, 20, 20, jet_abs_eta_max=5.5).accepts(jets)


class DecayRecorder(FilterHook):
    """Drops nothing, but notes the boson and its decay products when the filter would look."""

    def __init__(self, event_filter):
        super().__init__(event_filter)
        self.seen, self.now = [], None

    def canVetoAfterHadronization(self):
        return True

    def doVetoPT(self, position, event):
        if position != 5:
            higgs = event[event[5].iBotCopyId()].p()
            self.now = ((higgs.px(), higgs.py(), higgs.pz()), self.decay_products(event))
        return False

    def doVetoAfterHadronization(self, event):
        self.seen.append(self.now)
        return False


@pytest.mark.parametrize(("card", "pids"), [("ggf_haa", {22}), ("ggf_hzz4l", {11, 13})])
def test_decay_products_follow_the_recoil_of_the_boson(monkeypatch, card, pids):
    hooks = []

    def make(event_filter, cuts):
        hooks.append(DecayRecorder(event_filter))
        return hooks[-1]

    monkeypatch.setattr("cwolaflow.production.generator.make_hook", make)
    settings = {"PartonLevel:MPI": False, "PartonLevel:FSRinResonances": False}
    shower = ShowerFilter(3, 20, 16, photons=2)
    (batch,), _ = generate(card, 100, settings, PartonFilter(shower=shower))
    assert len(hooks[0].seen) == 100
    recoils, moved = [], []
    for number, (higgs, products) in enumerate(hooks[0].seen):
        assert {abs(pid) for pid, _, _ in products} <= pids
        assert len(products) == (2 if card == "ggf_haa" else 4)
        # Longitudinal momenta add up to that of the boson as the shower has left it.
        pz = sum(pt * np.sinh(eta) for _, pt, eta in products)
        assert pz == pytest.approx(higgs[2], abs=1e-3 * (1 + abs(higgs[2])))
        recoils.append(np.hypot(*higgs[:2]))
        inside = slice(batch.offsets[number], batch.offsets[number + 1])
        final = batch.status[inside] == 1
        px, py, pz, pid = (getattr(batch, n)[inside][final] for n in ("px", "py", "pz", "pid"))
        for product, pt, _ in products:
            moved.append(np.min(np.abs(np.hypot(px, py)[pid == product] - pt)))
    # What is radiated below the scale moves them little to where they end.
    assert np.median(moved) < 1
    assert np.quantile(moved, 0.95) < 5
    assert np.max(recoils) > 40


def test_diphoton_filter_keeps_what_a_selection_takes(monkeypatch):
    hooks = []

    class Verdicts(DecayRecorder):
        def doVetoPT(self, position, event):
            if position != 5:
                shower = self._filter.shower
                decay = shower.accepts_decay(self.decay_products(event))
                self.now = decay and shower.accepts(self.cluster(event))
            return False

    def make(event_filter, cuts):
        hooks.append(Verdicts(event_filter))
        return hooks[-1]

    monkeypatch.setattr("cwolaflow.production.generator.make_hook", make)
    event_filter = PartonFilter.from_config({"shower": DIPHOTON})
    (batch, *rest), _ = generate("ggf_haa", 500, {}, event_filter)
    selected = []
    for events in (batch, *rest):
        final = events.status == 1
        pt = np.hypot(events.px, events.py)
        eta = np.arcsinh(events.pz / np.maximum(pt, 1e-9))
        mother = events.offsets[events.event] + np.maximum(events.mother, 0)
        higgs = np.isin(events.pid[mother], (22, 25))
        photon = final & (events.pid == 22) & (pt > 10) & (np.abs(eta) < 2.5) & higgs
        photons = np.bincount(events.event[photon], minlength=len(events)) >= 2
        for number, jets in enumerate(narrow_jets(events, skip=photon)):
            hard = [jet for jet in jets if jet > 28]
            selected.append(photons[number] and len(hard) >= 2)
    kept = np.array(hooks[0].seen)
    assert len(kept) == len(selected) == 500
    assert np.mean(kept) < 0.45
    assert np.sum(selected) > 15
    assert np.all(kept[selected])


def narrow_jets(batch, skip):
    """PT of the anti-kt jets (R = 0.4) of visible final particles within 5 in rapidity."""
    import pythia8mc

    finder = pythia8mc.SlowJet(-1, 0.4, 20, 5, 1, 2)
    for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        event = pythia8mc.Event()
        for k in np.arange(start, stop)[(batch.status[start:stop] == 1) & ~skip[start:stop]]:
            if abs(batch.pid[k]) not in (12, 14, 16):
                momentum = (batch.px[k], batch.py[k], batch.pz[k], batch.e[k], batch.m[k])
                event.append(int(batch.pid[k]), 1, 0, 0, *map(float, momentum))
        finder.analyze(event)
        yield [finder.pT(i) for i in range(finder.sizeJet())]


def test_diphoton_filter_drops_and_counts():
    settings = {"PartonLevel:MPI": False, "HadronLevel:all": False}
    shower = {**DIPHOTON, "leading_pt_min": 1, "subleading_pt_min": 1}
    batches, cross_section = generate(
        "ggf_haa", 150, settings, PartonFilter.from_config({"shower": shower})
    )
    (batch,) = batches
    photon = (batch.status == 1) & (batch.pid == 22)
    pt = np.hypot(batch.px, batch.py)
    eta = np.abs(np.arcsinh(batch.pz / np.maximum(pt, 1e-9)))
    # Softer radiation moves a few photons out.
    inside = photon & (pt > 5) & (eta < 2.7)
    assert np.mean(np.bincount(batch.event[inside], minlength=150) >= 2) > 0.85
    (free,), _ = generate("ggf_haa", 250, settings)
    outside = (free.status == 1) & (free.pid == 22)
    outside &= np.abs(free.pz) > np.sinh(2.6) * np.hypot(free.px, free.py)
    share = 1 - len(np.unique(free.event[outside])) / 250
    assert cross_section.accepted / cross_section.tried == pytest.approx(share, abs=0.12)


def test_filter_from_config():
    config = {
        "invisible_pt_min": 150,
        "shower": {"scale": 10, "leading_pt_min": 50, "subleading_pt_min": 20},
    }
    assert PartonFilter.from_config(config) == PartonFilter(150, ShowerFilter(10, 50, 20))
    assert PartonFilter.from_config({}) == PartonFilter()
    assert filter_settings(PartonFilter(150)) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"invisible_pt": 150}, "unknown 'invisible_pt'"),
        ({"invisible_pt_min": "high"}, "'high' is no number"),
        ({"shower": 3}, "shower: 3 is no section"),
        ({"shower": {"scale": 10}}, "lacks leading_pt_min, subleading_pt_min"),
        ({"shower": {"scale": True}}, "'True' is no number"),
    ],
)
def test_wrong_filters(config, message):
    with pytest.raises(ConfigError, match=message):
        PartonFilter.from_config(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [({"ptj": 20}, "parton_cuts: unknown 'ptj'"), ({"pt_min": "high"}, "'high' is no number")],
)
def test_wrong_cuts_on_partons(config, message):
    with pytest.raises(ConfigError, match=message):
        PhaseSpace.from_config(config, None)


def test_wrong_cuts_on_leptons():
    with pytest.raises(ConfigError, match="lepton_cuts: unknown 'drll'; known are pt_min"):
        PhaseSpace.from_config(None, {"drll": 0.4})


# Randomness and batches.


def test_same_seed_same_events():
    first, again, other = (generate("znunu_qcd", 5, {}, seed=seed)[0][0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(record(first), record(again))
    assert record(first).shape != record(other).shape


def test_batches_are_bounded_and_do_not_change_the_events():
    cut, whole = (Generator(CARDS / "znunu_qcd.cmnd", HARD_PROCESS_ONLY) for _ in range(2))
    batches = list(cut.batches(25, batch_events=10))
    assert [len(batch) for batch in batches] == [10, 10, 5]
    (batch,) = whole.batches(25, batch_events=25)
    np.testing.assert_array_equal(stack(batches, "px"), batch.px)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, -5])
def test_seeds_are_in_range(seed):
    assert 1 <= pythia_seed(seed) <= 900_000_000
    assert pythia_seed(seed) != pythia_seed(seed + 1)


# Les Houches files.


def les_houches(path, events, tail=LHE_TAIL):
    text = LHE_HEAD + LHE_EVENT * events + tail
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["events.lhe", "events.lhe.gz"])
def test_les_houches_file(tmp_path, name):
    path = les_houches(tmp_path / name, 5)
    (batch,), cross_section = generate("lhe", 5, {"Beams:LHEF": path, **HARD_PROCESS_ONLY})
    assert len(batch) == 5
    assert cross_section.pb == pytest.approx(25)
    outgoing = batch.status == 1
    np.testing.assert_allclose(np.hypot(batch.px, batch.py)[outgoing], 300, rtol=1e-6)


def test_part_of_a_les_houches_file(tmp_path):
    path = les_houches(tmp_path / "events.lhe", 5)
    settings = {"Beams:LHEF": path, "Beams:nSkipLHEFatInit": 3, **HARD_PROCESS_ONLY}
    batches, _ = generate("lhe", 2, settings)
    assert sum(map(len, batches)) == 2
    with pytest.raises(StatisticsError, match="after 2 accepted events, and 3 were asked"):
        generate("lhe", 3, settings)


def test_les_houches_file_is_showered(tmp_path):
    path = les_houches(tmp_path / "events.lhe", 3)
    (batch,), _ = generate("lhe", 3, {"Beams:LHEF": path})
    assert len(batch.pid) > 3 * 200


@pytest.mark.parametrize("name", ["events.lhe", "events.lhe.gz"])
def test_les_houches_file_that_breaks_off(tmp_path, name):
    path = les_houches(tmp_path / name, 400, tail="")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StatisticsError, match=rf"{name}: damaged.*400 were asked for"):
        generate("lhe", 400, {"Beams:LHEF": path, **HARD_PROCESS_ONLY})


def test_not_a_les_houches_file(tmp_path):
    path = tmp_path / "events.lhe"
    path.write_text("nothing\n")
    with pytest.raises(InputError, match=r"events\.lhe: no Les Houches"):
        generate("lhe", 1, {"Beams:LHEF": path})


# Errors.


@pytest.mark.parametrize(
    "line", ["HardQCD:al = on", "Beams:eCM = high", "Beams:eCM = -5", "999999:m0 = 3"]
)
def test_wrong_line_is_named(tmp_path, line):
    card = tmp_path / "wrong.cmnd"
    card.write_text(f"! first\nHardQCD:all = on\n{line}\n")
    with pytest.raises(ConfigError, match=rf"wrong\.cmnd:3: .*'{line}'"):
        Generator(card)


def test_wrong_setting_is_named():
    with pytest.raises(ConfigError, match="setting HardQCD:none"):
        Generator(CARDS / "qcd_dijet.cmnd", {"HardQCD:none": True})


def test_seed_in_a_card_is_refused(tmp_path):
    card = tmp_path / "seed.cmnd"
    card.write_text("Random:seed = 4\n")
    with pytest.raises(ConfigError, match=r"seed\.cmnd:1: .*set by the workflow"):
        Generator(card)


def test_no_process(tmp_path):
    card = tmp_path / "empty.cmnd"
    card.write_text("Beams:eCM = 13000\n")
    with pytest.raises(ConfigError, match=r"empty\.cmnd: PYTHIA cannot start"):
        Generator(card)


def test_missing_card(tmp_path):
    with pytest.raises(InputError, match=r"none\.cmnd"):
        Generator(tmp_path / "none.cmnd")


def test_invisible_momentum_is_a_vector_sum():
    import pythia8mc

    event = pythia8mc.Event()
    for pid, status, px, py in [(12, 23, 30, 0), (-14, 23, 0, 40), (12, -22, 99, 0), (1, 23, 7, 7)]:
        event.append(pid, status, 0, 0, float(px), float(py), 0.0, 50.0, 0.0)
    assert invisible_pt(event) == pytest.approx(50)
