"""Folds of the cross-fit, and those that are held out as a test set."""

from collections.abc import Sequence

import numpy as np

from cwolaflow.seeds import derive_seed


def assign_folds(region: np.ndarray, sample: str, folds: int, seed: int) -> np.ndarray:
    """Deal the events of one sample to folds at random, evenly within each region.

    Parameters
    ----------
    region : np.ndarray of str, shape (n,)
        Region of each event.
    sample : str
        Name of the sample, part of the random seed.
    folds : int
        Number of folds, at most 127.
    seed : int
        Seed of the study.

    Returns
    -------
    np.ndarray of int8, shape (n,)
        Fold in [0, folds). Within a region, the sizes of the folds differ by at most 1.
    """
    fold = np.empty(len(region), dtype=np.int8)
    for name in np.unique(region.astype(str)):
        rows = np.flatnonzero(region == name)
        generator = np.random.default_rng(derive_seed(seed, "folds", sample, str(name)))
        fold[generator.permutation(rows)] = np.arange(len(rows)) % folds
    return fold


def held_out_folds(folds: int, test_folds: Sequence[int] | None = None) -> list[tuple[int, ...]]:
    """Say which folds each network must not see: one fold each, or one network and all test folds.

    Parameters
    ----------
    folds : int
        Number of folds.
    test_folds : sequence of int, optional
        ``select.test_folds``; without them the study is cross-fitted.

    Returns
    -------
    list of tuple of int
        One entry a network.
    """
    return [(fold,) for fold in range(folds)] if test_folds is None else [tuple(test_folds)]
