"""Angles and segmented sums of flat arrays."""

import numpy as np

from cwolaflow.kinematics import wrap_phi

ETA_OF_BEAM = 999.9


def pseudorapidity(transverse: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Pseudorapidity of a direction given by its transverse and z components; +-999.9 along z."""
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.arcsinh(z / transverse)
    return np.where(transverse > 0, eta, np.where(z == 0, 0.0, np.copysign(ETA_OF_BEAM, z)))


def delta_r(
    eta_1: np.ndarray, phi_1: np.ndarray, eta_2: np.ndarray, phi_2: np.ndarray
) -> np.ndarray:
    """Distance in pseudorapidity and azimuth."""
    return np.hypot(eta_1 - eta_2, wrap_phi(phi_1 - phi_2))


def offsets_of(segment: np.ndarray, count: int) -> np.ndarray:
    """Start of each of ``count`` segments in sorted segment numbers; shape (count + 1,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(segment, minlength=count))])


def sum_by(index: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Sum of ``values`` for each index below ``count``; float64, also of nothing."""
    return np.bincount(index, values, count).astype(np.float64)


def pairs_within_events(
    event: np.ndarray, other_offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of an object with each object of another list in the same event.

    Parameters
    ----------
    event : int array, shape (n,)
        Event of each object.
    other_offsets : int array, shape (n_events + 1,)
        Where the events start in the other list.

    Returns
    -------
    tuple of int64 array
        Index of the object and of the other object, one entry a pair.
    """
    counts = np.diff(other_offsets)[event]
    first = np.repeat(np.arange(len(event)), counts)
    within = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first, other_offsets[event[first]] + within


def log_normal(mean: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log-normal draws of this mean and standard deviation; 0 where the mean is not positive."""
    normal = rng.standard_normal(len(mean))
    result = np.zeros(len(mean))
    good = mean > 0
    width_2 = np.log1p((sigma[good] / mean[good]) ** 2)
    result[good] = mean[good] * np.exp(np.sqrt(width_2) * normal[good] - width_2 / 2)
    return result
