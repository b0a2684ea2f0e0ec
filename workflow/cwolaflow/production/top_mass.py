"""Gluon fusion with a jet at finite top mass, relative to the limit of a heavy top quark.

Leading order: squares of the one-loop amplitudes of gg -> Hg, qg -> qH and q qbar -> Hg with a top
quark in the loop (Ellis, Hinchliffe, Soldate, van der Bij, Nucl. Phys. B 297 (1988) 221, appendix
A; Baur and Glover, Nucl. Phys. B 339 (1990) 38) over those of the heavy-top limit, both relative to
their soft limit, gg -> H. ``python -m cwolaflow.production.top_mass`` averages them over events of
PYTHIA and writes the table that ``select.reweight`` takes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import ArrayLike
from scipy.special import spence

from cwolaflow.errors import ConfigError, CwolaflowError, StatisticsError
from cwolaflow.files import atomic_path
from cwolaflow.production.detector.particles import GeneratorEvents
from cwolaflow.production.generator import Generator

TOP_MASS = 172.5
"""Pole mass in GeV."""
_EPSILON = 1e-30
_GLUON, _HIGGS = 21, 25
_UNNEEDED = ("PartonLevel:ISR", "PartonLevel:FSR", "PartonLevel:MPI", "HadronLevel:all")


def _above_cut(invariant: ArrayLike) -> np.ndarray:
    invariant = np.asarray(invariant, np.float64)
    return invariant + 1j * _EPSILON * np.abs(invariant)


def _w1(invariant: np.ndarray, mass: float) -> np.ndarray:
    z = _above_cut(invariant)
    return 2 * np.sqrt(1 - 4 * mass**2 / z) * np.arcsinh(np.sqrt(-z) / (2 * mass))


def _w2(invariant: np.ndarray, mass: float) -> np.ndarray:
    return 4 * np.arcsinh(np.sqrt(-_above_cut(invariant)) / (2 * mass)) ** 2


def _dilogarithm(z: np.ndarray) -> np.ndarray:
    return spence(1 - z)


def _box_integral(
    s: np.ndarray, t: np.ndarray, u: np.ndarray, v: np.ndarray, mass: float
) -> np.ndarray:
    """Integral of log(1 - v x (1 - x) / m^2 - i0) / (m^2 t / (u s) + x (1 - x)) over 0 < x < 1.

    Needs t / (u s) > 0, as it is for one positive and two negative invariants in any order.
    """
    root = np.sqrt(1 + 4 * mass**2 * t / (u * s))
    # The denominator is (beta - x) (x - 1 + beta); beta - 1 without the difference of near numbers.
    beta = (1 + root) / 2
    beyond = 2 * mass**2 * t / (u * s) / (1 + root)
    half = np.sqrt(1 - 4 * mass**2 / _above_cut(v)) / 2
    total = np.zeros(np.shape(half), complex)
    for zero in (0.5 + half, 0.5 - half):
        # The argument of the logarithm is the product of 1 - x / zero over both.
        distance = zero - beta
        total += (np.log(distance) - np.log(zero)) * np.log(beta / beyond)
        total += _dilogarithm(-beyond / distance) - _dilogarithm(-beta / distance)
    return 2 / root * total


def _w3(s: np.ndarray, t: np.ndarray, u: np.ndarray, mass: float) -> np.ndarray:
    return (
        _box_integral(s, t, u, s + t + u, mass)
        - _box_integral(s, t, u, s, mass)
        - _box_integral(s, t, u, u, mass)
    )


def _b4(s: np.ndarray, t: np.ndarray, u: np.ndarray, mass: float) -> np.ndarray:
    higgs = s + t + u
    ratio = mass**2 / higgs
    return ratio * (
        -2 / 3 + (ratio - 1 / 4) * (_w2(t, mass) - _w2(higgs, mass) + _w3(s, t, u, mass))
    )


def _b2(s: np.ndarray, t: np.ndarray, u: np.ndarray, mass: float) -> np.ndarray:
    higgs, m2 = s + t + u, mass**2
    w2_s, w2_t, w2_higgs = _w2(s, mass), _w2(t, mass), _w2(higgs, mass)
    return (m2 / higgs**2) * (
        s * (u - s) / (s + u)
        + 2 * u * t * (u + 2 * s) / (s + u) ** 2 * (_w1(t, mass) - _w1(higgs, mass))
        + (m2 - s / 4) * ((w2_s + w2_higgs) / 2 - w2_t + _w3(s, t, u, mass))
        + s**2 * (2 * m2 / (s + u) ** 2 - 1 / (2 * (s + u))) * (w2_t - w2_higgs)
        + u * t / (2 * s) * (w2_higgs - 2 * w2_t)
        + (s - 12 * m2 - 4 * u * t / s) / 8 * _w3(t, s, u, mass)
    )


def _a2(s: np.ndarray, t: np.ndarray, u: np.ndarray, mass: float) -> np.ndarray:
    return _b2(s, t, u, mass) + _b2(s, u, t, mass)


def _a4(s: np.ndarray, t: np.ndarray, u: np.ndarray, mass: float) -> np.ndarray:
    return _b4(s, t, u, mass) + _b4(u, s, t, mass) + _b4(t, u, s, mass)


def _a5(s: np.ndarray, rest: np.ndarray, mass: float) -> np.ndarray:
    higgs = s + rest
    return (mass**2 / higgs) * (
        4
        + 4 * s / rest * (_w1(s, mass) - _w1(higgs, mass))
        + (1 - 4 * mass**2 / rest) * (_w2(s, mass) - _w2(higgs, mass))
    )


def triangle_ratio(higgs_mass: ArrayLike, top_mass: float = TOP_MASS) -> np.ndarray:
    """Square of the amplitude of gg -> H over that of the heavy-top limit.

    Parameters
    ----------
    higgs_mass : array_like
        GeV.
    top_mass : float
        GeV.

    Returns
    -------
    ndarray of float64
    """
    tau = 4 * top_mass**2 / np.square(np.asarray(higgs_mass, np.float64))
    amplitude = 1.5 * tau * (1 - (1 - tau) * _w2(4 * top_mass**2 / tau, top_mass) / 4)
    return np.abs(amplitude) ** 2


def gluon_ratio(s: ArrayLike, t: ArrayLike, u: ArrayLike, top_mass: float = TOP_MASS) -> np.ndarray:
    """Square of the amplitude of gg -> Hg over that of the heavy-top limit, colours summed.

    Parameters
    ----------
    s, t, u : array_like
        Mandelstam variables in GeV^2, one of them positive; their sum is the squared mass of the
        Higgs boson. The result does not depend on their order.
    top_mass : float
        GeV.

    Returns
    -------
    ndarray of float64
        Ellis et al., eqs. (2.2) and (A.8) to (A.11).
    """
    s, t, u = (np.asarray(invariant, np.float64) for invariant in (s, t, u))
    higgs = s + t + u
    finite = sum(
        np.abs(amplitude) ** 2
        for amplitude in (
            _a2(s, t, u, top_mass),
            _a2(u, s, t, top_mass),
            _a2(t, u, s, top_mass),
            _a4(s, t, u, top_mass),
        )
    )
    return 9 * finite * higgs**4 / (higgs**4 + s**4 + t**4 + u**4)


def quark_ratio(pair: ArrayLike, rest: ArrayLike, top_mass: float = TOP_MASS) -> np.ndarray:
    """Square of the amplitude with a quark line over that of the heavy-top limit.

    Parameters
    ----------
    pair : array_like
        Squared momentum of the off-shell gluon in GeV^2: of the quark and antiquark in
        q qbar -> Hg (positive), of the quark's momentum transfer in qg -> qH (negative).
    rest : array_like
        Sum of the other two Mandelstam variables in GeV^2; with ``pair`` the squared mass of the
        Higgs boson.
    top_mass : float
        GeV.

    Returns
    -------
    ndarray of float64
        Ellis et al., section 2 and eq. (A.14).
    """
    pair, rest = (np.asarray(invariant, np.float64) for invariant in (pair, rest))
    return np.abs(1.5 * _a5(pair, rest, top_mass) * (pair + rest) / rest) ** 2


def event_ratios(events: GeneratorEvents, top_mass: float = TOP_MASS) -> np.ndarray:
    """Weight of each event of PYTHIA's heavy-top processes, relative to gg -> H.

    PYTHIA normalises them to the width of the Higgs boson to gluons, which knows the masses.

    Parameters
    ----------
    events : GeneratorEvents
        Whole records: after the beams the two incoming and the two outgoing particles.
    top_mass : float
        GeV.

    Returns
    -------
    ndarray of float64, shape (n_events,)
    """
    code, s, first_to_jet, second_to_jet = _hard_process(events)
    incoming_gluons = (code[:, :2] == _GLUON).sum(axis=1)
    gluons = incoming_gluons == 2
    ratio = np.empty(len(code))
    ratio[gluons] = gluon_ratio(s[gluons], first_to_jet[gluons], second_to_jet[gluons], top_mass)
    # The off-shell gluon is what both ends of the quark line make.
    quark_first = code[:, 0] != _GLUON
    pair = np.where(incoming_gluons == 0, s, np.where(quark_first, first_to_jet, second_to_jet))
    higgs = s + first_to_jet + second_to_jet
    quarks = ~gluons
    ratio[quarks] = quark_ratio(pair[quarks], (higgs - pair)[quarks], top_mass)
    return ratio / triangle_ratio(np.sqrt(higgs), top_mass)


def _hard_process(events: GeneratorEvents) -> tuple[np.ndarray, ...]:
    """Codes (n_events, 4) of incoming and outgoing particles, s, and t and u of the jet."""
    # The record has the two beams first.
    hard = events.offsets[:-1, None] + np.arange(2, 6)
    code = events.pid[hard]
    momentum = np.stack([events.px, events.py, events.pz, events.e])[:, hard]
    jet = np.where(code[:, 3] == _HIGGS, 2, 3)
    first, second = momentum[..., 0], momentum[..., 1]
    outgoing = momentum[:, np.arange(len(events)), jet]
    return code, _square(first + second), _square(first - outgoing), _square(second - outgoing)


def _square(momentum: np.ndarray) -> np.ndarray:
    x, y, z, energy = momentum
    return energy**2 - x**2 - y**2 - z**2


def mean_ratios(
    card: str | Path, edges: Sequence[float], events: int, seed: int, top_mass: float = TOP_MASS
) -> tuple[np.ndarray, np.ndarray]:
    """Average the weights of events in bins of the Higgs boson's pT in the hard process.

    That is the ratio of the two spectra at leading order. With two or three jets in the matrix
    element the hardest transverse momentum decides (Greiner et al., arXiv:1608.01195), so the ratio
    is read at the pT that the boson has after the shower.

    Parameters
    ----------
    card : str or Path
        PYTHIA command file of the heavy-top processes with a jet.
    edges : sequence of float
        Ascending, in GeV; events outside belong to the edge bins.
    events : int
        Drawn with a spectrum that falls as pT^3 less steeply than theirs, and weighted.
    seed : int
    top_mass : float
        GeV.

    Returns
    -------
    mean, error : ndarray of float64, shape (len(edges) - 1,)

    Raises
    ------
    ConfigError
        The edges do not ascend.
    StatisticsError
        A bin has fewer than two events.
    """
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ConfigError(f"'edges' {list(edges)} are not ascending: give two or more, in order")
    generator = Generator(
        card,
        {
            **dict.fromkeys(_UNNEEDED, False),
            "PhaseSpace:bias2Selection": True,
            "PhaseSpace:bias2SelectionPow": 3,
        },
        seed=seed,
    )
    parts = []
    for batch in generator.batches(events):
        _, s, t, u = _hard_process(batch)
        parts.append((event_ratios(batch, top_mass), np.sqrt(t * u / s), batch.weight))
    ratio, pt, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    index = np.searchsorted(edges[1:-1], pt, side="right")
    n = len(edges) - 1
    if (empty := np.bincount(index, minlength=n) < 2).any():
        low, high = edges[empty.argmax()], edges[empty.argmax() + 1]
        raise StatisticsError(
            f"{card}: fewer than two of {events} events have pT(H) between {low:g} and {high:g} "
            "GeV; ask for more events or wider bins"
        )
    total = np.bincount(index, weight)
    mean = np.bincount(index, weight * ratio) / total
    error = np.sqrt(np.bincount(index, (weight * (ratio - mean[index])) ** 2)) / total
    return mean, error


def main() -> None:
    """Write the weight table."""
    parser = argparse.ArgumentParser(description="Weights of a finite top mass, from PYTHIA.")
    parser.add_argument("card", type=Path, help="PYTHIA command file with HiggsSM:gg2Hg(l:t) etc.")
    parser.add_argument("table", type=Path, help="YAML file to write")
    parser.add_argument("--edges", type=float, nargs="+", required=True, help="GeV")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--top-mass", type=float, default=TOP_MASS, help="GeV")
    parser.add_argument("--variable", default="missing_et", help="column of the event table")
    options = parser.parse_args()
    try:
        mean, error = mean_ratios(
            options.card, options.edges, options.events, options.seed, options.top_mass
        )
    except CwolaflowError as problem:
        raise SystemExit(str(problem)) from None
    content = {
        "source": f"cwolaflow.production.top_mass: leading-order amplitudes of H + jet at a top "
        f"mass of {options.top_mass:g} GeV over the heavy-top limit, relative to gg -> H (Ellis "
        f"et al., Nucl. Phys. B 297 (1988) 221), averaged over {options.events} events of PYTHIA "
        f"({options.card.name}) in bins of the Higgs boson's pT in the hard process; statistical "
        f"errors up to {error.max():.4f}",
        "variable": options.variable,
        "edges": options.edges,
        "weights": mean.round(4).tolist(),
    }
    with atomic_path(options.table) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, width=100), encoding="utf-8")


if __name__ == "__main__":
    main()
