"""Expected CLs limit from toys instead of asymptotic distributions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cwolaflow.errors import StatisticsError
from cwolaflow.inference.batched import BatchedModel, differentiable_backend
from cwolaflow.inference.pseudo_data import best_fit

SAME = 1e-6
"""Difference of q̃ up to which two toys count as equal: that of converged fits."""


@dataclass(frozen=True)
class ToyLimit:
    """Expected median limit from toys.

    Attributes
    ----------
    median : float
    error : float
        From the number of toys.
    strengths : ndarray of float64, shape (points,)
        Values of the parameter of interest that were tested.
    cls : ndarray of float64, shape (points,)
        CLs there, at the median of q̃ without signal.
    cls_error : ndarray of float64, shape (points,)
        Binomial.
    """

    median: float
    error: float
    strengths: np.ndarray
    cls: np.ndarray
    cls_error: np.ndarray


def toy_limit(
    workspace: Mapping[str, Any],
    strengths: Sequence[float],
    toys: int,
    seed: int,
    confidence_level: float = 0.95,
) -> ToyLimit:
    """Find the expected median CLs limit with the distribution of q̃_μ sampled.

    Without signal, toys are drawn at the nominal nuisance parameters; with the signal μ, at those
    that fit the Asimov data of no signal best under μ. Bins and auxiliary measurements both
    fluctuate. ln CLs is interpolated linearly between the tested strengths.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace whose observation is the expected background.
    strengths : sequence of float
        Rising values of the parameter of interest around the limit.
    toys : int
        With and without signal each, for every strength.
    seed : int
    confidence_level : float

    Raises
    ------
    FitError
        A fit did not converge.
    StatisticsError
        The limit lies outside ``strengths``.
    """
    alpha = 1 - confidence_level
    cls, errors = [], []
    with differentiable_backend(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batch = BatchedModel(workspace, toys)
        nominal = batch.parameters(0.0)
        asimov = batch.expected_data(nominal)
        background = _draw(batch, nominal)
        background_fits = _Fits(batch, background)
        for mu in strengths:
            start = nominal.clone()
            start[:, batch.poi] = mu
            profiled, _ = batch.fit(asimov, start, fixed_poi=True)
            q_background = background_fits.statistic(mu, profiled)
            q_signal = _Fits(batch, _draw(batch, profiled)).statistic(mu, profiled)
            median = np.sort(q_background)[(toys - 1) // 2] - SAME
            beyond = [np.mean(q >= median) for q in (q_signal, q_background)]
            cls.append(beyond[0] / beyond[1])
            relative = np.sqrt(sum((1 - share) / max(share * toys, 1) for share in beyond))
            errors.append(cls[-1] * relative)
    cls, errors, strengths = np.array(cls), np.array(errors), np.asarray(strengths, float)
    below = np.flatnonzero(cls <= alpha)
    if len(below) == 0 or below[0] == 0:
        raise StatisticsError(
            f"toys: CLs is {cls[0]:.3g} at {strengths[0]:g} and {cls[-1]:.3g} at "
            f"{strengths[-1]:g}; test strengths on both sides of the limit"
        )
    high = int(below[0])
    logs = np.log(np.maximum(cls, 0.5 / toys))
    slope = (logs[high] - logs[high - 1]) / (strengths[high] - strengths[high - 1])
    limit = strengths[high] + (np.log(alpha) - logs[high]) / slope
    nearest = int(np.argmin(np.abs(strengths - limit)))
    error = errors[nearest] / cls[nearest] / abs(slope)
    return ToyLimit(float(limit), float(error), strengths, cls, errors)


class _Fits:
    """Toys with their fits that do not depend on the tested strength."""

    def __init__(self, batch: BatchedModel, data: torch.Tensor) -> None:
        self.batch, self.data = batch, data
        at_zero, nll_zero = batch.fit(data, batch.parameters(0.0), fixed_poi=True)
        self.best, self.minimum = best_fit(batch, data, at_zero, nll_zero)

    def statistic(self, mu: float, start: torch.Tensor) -> np.ndarray:
        """q̃_μ of every toy."""
        _, twice_nll = self.batch.fit(self.data, start, fixed_poi=True)
        q = np.maximum((twice_nll - self.minimum).numpy(), 0.0)
        return np.where(self.best[:, self.batch.poi].numpy() > mu, 0.0, q)


def _draw(batch: BatchedModel, parameters: torch.Tensor) -> torch.Tensor:
    return batch.model.make_pdf(parameters).sample()
