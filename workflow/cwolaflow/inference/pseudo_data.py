"""Pseudo-data with an injected signal, observed CLs limits on them, and their coverage."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm

from cwolaflow.inference.batched import BatchedModel, differentiable_backend
from cwolaflow.inference.limits import FitError

LIMIT_TOLERANCE = 1e-4
MAX_EVALUATIONS = 60


def draw_pseudo_data(
    workspace: Mapping[str, Any], injected: Sequence[float], seed: int
) -> np.ndarray:
    """Draw one data set for every injected signal strength.

    Bins are Poisson distributed around the nominal expectation and the auxiliary measurements
    of the nuisance parameters Gaussian around the nominal values: as in an experiment that is
    repeated with its calibrations.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace.
    injected : sequence of float, length experiments
        Value of the parameter of interest in each data set.
    seed : int

    Returns
    -------
    ndarray of float64, shape (experiments, n_data)
        Bins, then auxiliary data, as pyhf orders them.
    """
    with differentiable_backend(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batch = BatchedModel(workspace, len(injected))
        pdf = batch.model.make_pdf(batch.parameters(np.asarray(injected, dtype=np.float64)))
        return pdf.sample().numpy()


def observed_limits(
    workspace: Mapping[str, Any], data: np.ndarray, confidence_level: float = 0.95
) -> np.ndarray:
    """Compute the observed CLs upper limit of every data set.

    Asymptotic distributions of q̃_μ (arXiv:1007.1727), with the Asimov data of no signal made at
    the nuisance parameters that fit the data best without signal. All data sets are fitted
    together, and each follows its own bisection.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace.
    data : ndarray of float64, shape (experiments, n_data)
        With auxiliary data.
    confidence_level : float
        Between 0 and 1.

    Returns
    -------
    ndarray of float64, shape (experiments,)

    Raises
    ------
    FitError
        A fit did not converge, or no limit is found far beyond the bounds.
    """
    with differentiable_backend():
        return _observed_limits(
            BatchedModel(workspace, len(data)), torch.tensor(data), 1 - confidence_level
        )


def _observed_limits(batch: BatchedModel, data: torch.Tensor, alpha: float) -> np.ndarray:
    statistics = _TestStatistics(batch, data)
    low = np.zeros(batch.experiments)
    high = np.full(batch.experiments, float(batch.high[batch.poi]) / 10)
    log_cls = np.zeros(batch.experiments)
    for _ in range(MAX_EVALUATIONS):
        at_high = statistics.log_cls(high) - np.log(alpha)
        if (at_high <= 0).all():
            break
        low, log_cls = np.where(at_high > 0, high, low), np.where(at_high > 0, at_high, log_cls)
        high = np.where(at_high > 0, 2 * high, high)
    else:
        raise FitError(f"channel {batch.channels}: no observed limit up to {high.max():.3g}")
    at_low = np.where(low > 0, log_cls, -np.log(alpha))
    for _ in range(MAX_EVALUATIONS):
        if (high - low <= LIMIT_TOLERANCE * high).all():
            return 0.5 * (low + high)
        # Illinois method: regula falsi that halves the weight of an end that stays.
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        middle = np.clip(middle, low + 0.02 * (high - low), high - 0.02 * (high - low))
        value = statistics.log_cls(middle) - np.log(alpha)
        above = value > 0
        found = np.abs(value) < 0.1 * LIMIT_TOLERANCE
        at_high = np.where(above, at_high / 2, value)
        at_low = np.where(above, value, at_low / 2)
        low, high = (
            np.where(above | found, middle, low),
            np.where(~above | found, middle, high),
        )
        at_low, at_high = np.where(found, 1e-12, at_low), np.where(found, -1e-12, at_high)
    raise FitError(f"channel {batch.channels}: no observed limit in {MAX_EVALUATIONS} evaluations")


class _TestStatistics:
    """q̃_μ on the data and on their Asimov data of no signal."""

    def __init__(self, batch: BatchedModel, data: torch.Tensor) -> None:
        self.batch, self.data = batch, data
        self.at_zero, nll_zero = batch.fit(data, batch.parameters(0.0), fixed_poi=True)
        self.best, self.minimum = best_fit(batch, data, self.at_zero, nll_zero)
        self.asimov = batch.expected_data(self.at_zero)
        # The auxiliary data of the Asimov set are the fitted parameters: its minimum is there.
        self.asimov_minimum = batch.twice_nll(self.at_zero, self.asimov)
        self.start, self.asimov_start = self.at_zero, self.at_zero

    def log_cls(self, mu: np.ndarray) -> np.ndarray:
        """Logarithm of CLs, shape (experiments,)."""
        q = self._statistic(mu)
        root = np.sqrt(q)
        self.asimov_start, twice_nll = self._profile(self.asimov, mu, self.asimov_start)
        root_a = np.sqrt(np.maximum((twice_nll - self.asimov_minimum).numpy(), 0.0))
        safe = np.maximum(root_a, 1e-12)
        beyond = root > root_a
        signal = np.where(beyond, (q + root_a**2) / (2 * safe), root)
        background = np.where(beyond, (q - root_a**2) / (2 * safe), root - root_a)
        return norm.logsf(signal) - norm.logsf(background)

    def _statistic(self, mu: np.ndarray) -> np.ndarray:
        self.start, twice_nll = self._profile(self.data, mu, self.start)
        q = np.maximum((twice_nll - self.minimum).numpy(), 0.0)
        return np.where(self.best[:, self.batch.poi].numpy() > mu, 0.0, q)

    def _profile(self, data, mu, start):
        start = start.clone()
        start[:, self.batch.poi] = torch.from_numpy(mu)
        return self.batch.fit(data, start, fixed_poi=True)


def best_fit(
    batch: BatchedModel, data: torch.Tensor, at_zero: torch.Tensor, nll_zero: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit with a parameter of interest that is not negative, from the fit without signal on.

    Returns
    -------
    parameters : float64 tensor, shape (experiments, n_parameters)
    twice_nll : float64 tensor, shape (experiments,)
    """
    parameters, twice_nll = batch.fit(data, at_zero, fixed_poi=False)
    worse = twice_nll > nll_zero
    return torch.where(worse[:, None], at_zero, parameters), torch.minimum(twice_nll, nll_zero)


def pseudo_experiments(
    workspace: Mapping[str, Any],
    injected: Sequence[float],
    number: int,
    seed: int,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """Draw pseudo-data with each injected signal and limit the signal in them.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace.
    injected : sequence of float
        Values of the parameter of interest.
    number : int
        Pseudo-experiments for each.
    seed : int
    confidence_level : float

    Returns
    -------
    DataFrame
        One row a pseudo-experiment: ``injected``, ``experiment``, ``observed_limit``.
    """
    strengths = np.repeat(np.asarray(injected, dtype=np.float64), number)
    data = draw_pseudo_data(workspace, strengths, seed)
    return pd.DataFrame(
        {
            "injected": strengths,
            "experiment": np.tile(np.arange(number), len(injected)),
            "observed_limit": observed_limits(workspace, data, confidence_level),
        }
    )


def coverage(experiments: pd.DataFrame) -> pd.DataFrame:
    """Count how often the observed limit is not below the injected signal.

    Parameters
    ----------
    experiments : DataFrame
        From `pseudo_experiments`, perhaps with leading columns that tell analyses apart.

    Returns
    -------
    DataFrame
        The leading columns and ``injected``, then ``experiments``, ``coverage`` (a share),
        ``coverage_error`` (binomial; that of one miss where there is none), and the
        ``median_limit`` of the pseudo-experiments.
    """
    keys = list(experiments.columns[: experiments.columns.get_loc("injected") + 1])
    covered = experiments["observed_limit"] >= experiments["injected"]
    grouped = experiments.assign(covered=covered).groupby(keys, sort=False, dropna=False)
    table = grouped.agg(
        experiments=("covered", "size"),
        coverage=("covered", "mean"),
        median_limit=("observed_limit", "median"),
    ).reset_index()
    n = table["experiments"]
    share = table["coverage"].clip(upper=1 - 1 / n)
    table.insert(
        table.columns.get_loc("coverage") + 1, "coverage_error", np.sqrt(share * (1 - share) / n)
    )
    return table
