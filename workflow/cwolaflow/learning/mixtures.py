"""What a classifier is trained on: mixed samples M1 and M2, or labelled events."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwolaflow.errors import ConfigError, StatisticsError
from cwolaflow.seeds import derive_seed

log = logging.getLogger(__name__)

REGIONS = ("SR", "SB")  # M1 is drawn from the first, M2 from the second
UNIFORM_WEIGHT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class TrainingSet:
    """Events to train on; all that a training is allowed to see.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Rows of the event table, ascending, none twice.
    labels : ndarray of float32, shape (n,)
        1 for M1 and 0 for M2, or 1 for signal and 0 for background where supervised.
    weights : ndarray of float32, shape (n,)
        Weights in the loss.
    luminosity_fb : float or None
        Luminosity of the mixtures in fb⁻¹; None where supervised.
    """

    rows: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    luminosity_fb: float | None = None

    def take(self, chosen: np.ndarray) -> "TrainingSet":
        """Keep the entries ``chosen``, a boolean mask."""
        return TrainingSet(
            self.rows[chosen], self.labels[chosen], self.weights[chosen], self.luminosity_fb
        )


@dataclass(frozen=True)
class _Pool:
    """Events of one process and region that may be drawn."""

    process: str
    region: str
    rows: np.ndarray
    rate_fb: float

    @property
    def largest_luminosity_fb(self) -> float:
        return len(self.rows) / self.rate_fb


def check_weights(events: pd.DataFrame) -> None:
    """Refuse weights that no training or score can use.

    Raises
    ------
    StatisticsError
        A weight is negative or not a number.
    """
    wrong = ~(events["weight_fb"].to_numpy() >= 0)
    if wrong.any():
        first = events.iloc[int(np.argmax(wrong))]
        raise StatisticsError(
            f"process {first['process']}: {int(wrong.sum())} events have a negative or undefined "
            "weight, which mixtures and trainings cannot use; give samples without negative "
            "weights (LO, or resampled to positive weights)"
        )


def unweight(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Accept events with probability w / w_max, so that those kept all count the same.

    Parameters
    ----------
    weights : ndarray of float64, shape (n,)
        Not negative.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n,)
        All true where the weights are equal already.
    """
    if not len(weights):
        return np.ones(0, bool)
    largest = weights.max()
    if weights.min() >= largest * (1 - UNIFORM_WEIGHT_TOLERANCE):
        return np.full(len(weights), largest > 0)
    return rng.random(len(weights)) * largest < weights


def _pools(
    events: pd.DataFrame, offered: np.ndarray, signal_scale: float, seed: int
) -> list[_Pool]:
    weights = events["weight_fb"].to_numpy()
    pools = []
    in_regions = events["region"].isin(REGIONS).to_numpy()
    keys = [events["process"].to_numpy()[in_regions], events["region"].to_numpy()[in_regions]]
    groups = pd.Series(np.flatnonzero(in_regions)).groupby(keys, sort=True)
    labels = events["label"].to_numpy()
    for (process, region), members in groups:
        rows = members.to_numpy()
        scale = signal_scale if labels[rows[0]] else 1.0
        rate_fb = scale * weights[rows].sum()
        if rate_fb <= 0:
            continue
        rows = rows[offered[rows]]
        rng = np.random.default_rng(derive_seed(seed, "unweight", process, region))
        pools.append(_Pool(process, region, rows[unweight(weights[rows], rng)], rate_fb))
    return pools


def _numbers(
    pools: list[_Pool], luminosity_fb: float, numbers: str, shortfall: str, seed: int
) -> tuple[list[int], float]:
    """Events to draw from every pool, and the luminosity that they stand for."""
    if numbers == "rounded":
        quantiles = None
        largest = [pool.largest_luminosity_fb for pool in pools]
    else:
        # Importing scipy takes longer than a small training; most studies round.
        from scipy.special import gammainccinv

        # A fixed quantile per pool makes the number grow with the luminosity, so that the
        # largest luminosity that a pool can serve is well defined.
        quantiles = [
            np.random.default_rng(derive_seed(seed, "poisson", pool.process, pool.region)).random()
            for pool in pools
        ]
        largest = [
            float(gammainccinv(len(pool.rows) + 1, quantile)) / pool.rate_fb
            for pool, quantile in zip(pools, quantiles, strict=True)
        ]

    def at(luminosity: float) -> list[int]:
        expected = [pool.rate_fb * luminosity for pool in pools]
        if quantiles is None:
            return [int(np.floor(n + 0.5)) for n in expected]
        from scipy.stats import poisson

        return [int(poisson.ppf(q, n)) for q, n in zip(quantiles, expected, strict=True)]

    needed = at(luminosity_fb)
    short = [i for i, pool in enumerate(pools) if needed[i] > len(pool.rows)]
    if not short:
        return needed, luminosity_fb
    worst = min(short, key=lambda i: largest[i])
    pool = pools[worst]
    text = (
        f"process {pool.process}, region {pool.region}: {len(pool.rows)} events available, "
        f"{needed[worst]} needed at {luminosity_fb:g} fb⁻¹"
    )
    if shortfall == "error":
        raise StatisticsError(
            f"{text}; the largest luminosity possible is {largest[worst]:.4g} fb⁻¹: simulate more "
            "events, lower 'luminosities_fb', or set 'shortfall: scale_down' of the supervision"
        )
    log.warning("%s; mixtures of %.4g fb⁻¹ are used instead", text, largest[worst])
    scaled = at(largest[worst])
    # At the edge itself rounding errors of the quantile can ask for one event too many.
    return [min(n, len(p.rows)) for n, p in zip(scaled, pools, strict=True)], largest[worst]


def draw_mixtures(
    events: pd.DataFrame,
    offered: np.ndarray,
    luminosity_fb: float,
    supervision_config: dict[str, Any],
    seed: int,
) -> TrainingSet:
    """Draw the mixed samples M1 (signal region) and M2 (sideband) of a luminosity.

    Every process enters a region with the number of events expected there at the luminosity,
    counted over the whole event table and not only over the events offered. Events are drawn
    without replacement, after unweighting where the weights of a process differ. M1 is weighted
    by N_M2 / N_M1 in the loss.

    Parameters
    ----------
    events : DataFrame
        Event table: ``process``, ``label``, ``region``, ``weight_fb`` (fb).
    offered : ndarray of bool, shape (n_events,)
        Events that may be drawn: those out of the held-out fold.
    luminosity_fb : float
        fb⁻¹.
    supervision_config : dict
        ``signal_scale``, factor on the expected number of signal events; ``numbers``, ``rounded``
        or ``poisson``; ``shortfall``, ``error`` or ``scale_down``.
    seed : int
        Seed of the draw.

    Returns
    -------
    TrainingSet
        Labels say M1 or M2; truth labels are not in it.

    Raises
    ------
    StatisticsError
        There are too few events, a mixture is empty, or weights are negative.
    """
    check_weights(events)
    pools = _pools(events, offered, supervision_config["signal_scale"], seed)
    shortfall = supervision_config["shortfall"]
    counts, luminosity_fb = _numbers(
        pools, luminosity_fb, supervision_config["numbers"], shortfall, seed
    )
    drawn, labels = [], []
    for pool, count in zip(pools, counts, strict=True):
        rng = np.random.default_rng(derive_seed(seed, "draw", pool.process, pool.region))
        drawn.append(rng.choice(pool.rows, size=count, replace=False, shuffle=False))
        labels.append(np.full(count, pool.region == REGIONS[0], np.float32))
    rows = np.concatenate([np.zeros(0, np.int64), *drawn])
    labels = np.concatenate([np.zeros(0, np.float32), *labels])
    order = np.argsort(rows)
    rows, labels = rows[order], labels[order]
    sizes = {"M2 (region SB)": int((labels == 0).sum()), "M1 (region SR)": int(labels.sum())}
    for name, size in sizes.items():
        if not size:
            raise StatisticsError(
                f"{name} is empty at {luminosity_fb:.4g} fb⁻¹; raise the luminosity, simulate "
                "more events, or change 'select.regions'"
            )
    n_m2, n_m1 = sizes.values()
    weights = np.where(labels == 1, n_m2 / n_m1, 1.0).astype(np.float32)
    return TrainingSet(rows, labels, weights, luminosity_fb)


def _process_shares(
    processes: pd.Series, yields: pd.Series, role: str, mixture: dict[str, Any] | None
) -> pd.Series:
    present = yields.groupby(processes).sum()
    shares = present
    if mixture is not None:
        absent = [name for name in present.index if name not in mixture[role]]
        if absent:
            raise ConfigError(
                f"'supervision.supervised.mixture.{role}' lacks process {absent[0]!r}; give its "
                "share (0 to leave it out) or remove 'mixture'"
            )
        shares = pd.Series({name: float(mixture[role][name]) for name in present.index})
    if not len(present) or (present <= 0).any() or shares.sum() <= 0:
        raise StatisticsError(
            f"supervised training: no weighted {role} event in some process to train on; check "
            "the sample table and the cuts"
        )
    return shares / shares.sum()


def labelled_events(
    events: pd.DataFrame, offered: np.ndarray, supervision_config: dict[str, Any]
) -> TrainingSet:
    """Take all events offered with their true labels.

    Signal and background have the same total weight in the loss and the mean weight is 1. Within
    a class each process has its share of ``mixture``, renormalised over the processes that are
    there, or of the expected yield where no mixture is given; within a process events count by
    ``weight_fb``.

    Parameters
    ----------
    events : DataFrame
        Event table: ``process``, ``label``, ``weight_fb``.
    offered : ndarray of bool, shape (n_events,)
        Events out of the held-out fold.
    supervision_config : dict
        ``mixture`` (optional): shares by process under ``signal`` and ``background``.

    Raises
    ------
    StatisticsError
        A class has no event, or weights are negative.
    ConfigError
        A process has no share.
    """
    check_weights(events)
    rows = np.flatnonzero(offered)
    taken = events.iloc[rows]
    labels = taken["label"].to_numpy().astype(np.float32)
    weights = np.zeros(len(rows))
    for label, role in enumerate(("background", "signal")):
        members = taken["label"] == label
        processes, yields = taken.loc[members, "process"], taken.loc[members, "weight_fb"]
        shares = _process_shares(processes, yields, role, supervision_config.get("mixture"))
        totals = yields.groupby(processes).sum()
        factor = processes.map(shares / totals).to_numpy(np.float64)
        weights[members.to_numpy()] = yields.to_numpy() * factor * len(rows) / 2
    return TrainingSet(rows, labels, weights.astype(np.float32))


def thin(training: TrainingSet, max_events: int, seed: int) -> TrainingSet:
    """Keep ``max_events`` events at random, with the share that each label has.

    Parameters
    ----------
    training : TrainingSet
    max_events : int
        Events to keep; with fewer the set stays as it is.
    seed : int

    Returns
    -------
    TrainingSet
        The mean weight of each label is what it was, so the labels keep their balance in the loss.

    Raises
    ------
    StatisticsError
        ``max_events`` leaves fewer than two events of a label.
    """
    size = len(training.rows)
    if size <= max_events:
        return training
    rng = np.random.default_rng(seed)
    kept = np.zeros(size, bool)
    factor = np.ones(size)
    for label in (0, 1):
        members = np.flatnonzero(training.labels == label)
        chosen = rng.choice(members, round(max_events * len(members) / size), replace=False)
        if len(chosen) < 2:
            raise StatisticsError(
                f"'training.max_events': {max_events} leaves {len(chosen)} events of label "
                f"{label} of {len(members)}; raise it"
            )
        kept[chosen] = True
        factor[chosen] = training.weights[members].mean(dtype=np.float64) / training.weights[
            chosen
        ].mean(dtype=np.float64)
    weights = (training.weights * factor).astype(np.float32)
    return TrainingSet(
        training.rows[kept], training.labels[kept], weights[kept], training.luminosity_fb
    )


def split_validation(
    training: TrainingSet, fraction: float, seed: int
) -> tuple[TrainingSet, TrainingSet]:
    """Split off a share of each label for validation.

    Parameters
    ----------
    training : TrainingSet
    fraction : float
        Share for validation, rounded to whole events, at least one of each label.
    seed : int

    Returns
    -------
    train, valid : TrainingSet

    Raises
    ------
    StatisticsError
        A label has fewer than two events.
    """
    rng = np.random.default_rng(seed)
    in_validation = np.zeros(len(training.rows), bool)
    for label in (0, 1):
        members = np.flatnonzero(training.labels == label)
        if len(members) < 2:
            raise StatisticsError(
                f"{len(members)} training events have label {label}, at least 2 are needed to "
                "train and validate; simulate more events or raise the luminosity"
            )
        size = min(max(1, round(fraction * len(members))), len(members) - 1)
        in_validation[rng.choice(members, size, replace=False)] = True
    return training.take(~in_validation), training.take(in_validation)
