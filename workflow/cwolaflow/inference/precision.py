"""How well a limit is known, given the size of the simulation."""

from collections.abc import Collection, Mapping

import numpy as np

from cwolaflow.inference.binning import Templates

REPLICAS = 400


def linearised_error(
    counts: np.ndarray,
    variances: np.ndarray,
    is_signal: np.ndarray,
    cross_section_uncertainty: np.ndarray,
    luminosity_uncertainty: float,
) -> np.ndarray:
    """Expected error of the signal strength at no signal, all uncertainties linearised.

    Parameters
    ----------
    counts : array of float, shape (..., processes, bins)
        Expected events; leading axes are independent models.
    variances : array of float, shape (processes, bins)
        Of the simulation.
    is_signal : array of bool, shape (processes,)
    cross_section_uncertainty : array of float, shape (processes,)
        Relative.
    luminosity_uncertainty : float
        Relative.

    Returns
    -------
    ndarray of float64, shape (...)
        About half of the expected upper limit at 95% confidence level.
    """
    background = counts[..., ~is_signal, :]
    total, signal = background.sum(axis=-2), counts[..., is_signal, :].sum(axis=-2)
    shifts = np.concatenate(
        [
            cross_section_uncertainty[~is_signal, np.newaxis] * background,
            luminosity_uncertainty * total[..., np.newaxis, :],
        ],
        axis=-2,
    )
    diagonal = total + variances[~is_signal].sum(axis=0)
    covariance = np.swapaxes(shifts, -1, -2) @ shifts
    covariance[..., range(total.shape[-1]), range(total.shape[-1])] += diagonal
    weighted = np.linalg.solve(covariance, signal[..., np.newaxis])[..., 0]
    return 1 / np.sqrt((signal * weighted).sum(axis=-1))


def as_arrays(
    templates: Templates,
    signals: Collection[str],
    cross_section_uncertainty: Mapping[str, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give counts, variances, signal mask and cross-section uncertainties as arrays."""
    return (
        np.array(list(templates.counts.values())),
        np.array(list(templates.variances.values())),
        np.array([process in signals for process in templates.counts]),
        np.array([cross_section_uncertainty[process] for process in templates.counts]),
    )


def simulation_error(
    templates: Templates,
    signals: Collection[str],
    cross_section_uncertainty: Mapping[str, float],
    luminosity_uncertainty: float,
    seed: int,
) -> float:
    """Relative error that the finite simulation gives to the median limit.

    Every bin of every process is drawn anew from a gamma distribution with its count as mean and
    its simulation variance, and the limit followed by `linearised_error`.

    Parameters
    ----------
    templates : Templates
    signals : collection of str
        Processes that are signal.
    cross_section_uncertainty : mapping of str to float
        Relative, by process.
    luminosity_uncertainty : float
        Relative.
    seed : int

    Returns
    -------
    float
        Standard deviation over the mean of the replicas.
    """
    counts, variances, is_signal, cross_section = as_arrays(
        templates, signals, cross_section_uncertainty
    )
    filled = (counts > 0) & (variances > 0)
    scale = np.divide(variances, counts, out=np.zeros_like(counts), where=filled)
    shape = np.divide(counts, scale, out=np.zeros_like(counts), where=filled)
    drawn = np.random.default_rng(seed).gamma(shape, scale, size=(REPLICAS, *counts.shape))
    replicas = np.where(filled, drawn, counts)
    errors = linearised_error(replicas, variances, is_signal, cross_section, luminosity_uncertainty)
    return float(errors.std(ddof=1) / errors.mean())
