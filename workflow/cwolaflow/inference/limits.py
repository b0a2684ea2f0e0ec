"""Expected upper limits by asymptotic CLs, from few fits."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyhf
import torch
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from cwolaflow.errors import CwolaflowError, StatisticsError

BANDS = {"median": 0, "plus_2sigma": 2, "minus_2sigma": -2, "plus_1sigma": 1, "minus_1sigma": -1}
ROOT_TOLERANCE = 1e-3
LARGEST_WIDENING = 1e4
MAX_FITS = 100
FLAT = 1e-2
"""Slope of √q_A, relative to its mean slope from zero, below which it has saturated."""


class FitError(CwolaflowError):
    """A fit of the statistical model did not converge."""


@dataclass(frozen=True)
class ExpectedLimit:
    """Expected upper limit on the parameter of interest and its bands.

    Each field is a limit: the one expected if the data fluctuate by that many standard deviations
    of the background-only hypothesis.
    """

    median: float
    minus_2sigma: float
    minus_1sigma: float
    plus_1sigma: float
    plus_2sigma: float

    def to_dict(self) -> dict[str, float]:
        """Return the five limits by name."""
        return asdict(self)


def expected_limit(workspace: Mapping[str, Any], confidence_level: float = 0.95) -> ExpectedLimit:
    r"""Compute the expected upper limit of a workspace's parameter of interest μ.

    Asymptotic CLs with the test statistic q̃_μ (Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727).
    On the Asimov data of μ = 0, √q_A(μ) alone fixes the whole band: a background that fluctuates
    by N standard deviations gives CLs = Φ(N − √q_A) / Φ(N), so that the limit μ_N solves

    .. math:: \sqrt{q_A(\mu_N)} = \Phi^{-1}\left(1 - \alpha\,\Phi(N)\right) + N,
              \qquad \alpha = 1 - \text{confidence level}.

    The five equations share one interpolation of √q_A, which is nearly linear in μ; each of its
    points costs one fit with fixed μ and gradients by automatic differentiation. The best fit to
    the Asimov data needs none: these are the parameters that made them.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace. Its observation sets the nuisance parameters of the Asimov data, as in
        pyhf; where it is the nominal background, these are the nominal ones.
    confidence_level : float
        Between 0 and 1.

    Returns
    -------
    ExpectedLimit

    Raises
    ------
    FitError
        A fit did not converge.
    StatisticsError
        No limit far beyond the bounds of the parameter of interest.
    """
    with differentiable_backend():
        workspace = pyhf.Workspace(workspace)
        model = workspace.model()
        curve = _AsimovCurve(model, workspace.data(model))
        return ExpectedLimit(**_band_limits(curve, confidence_level))


class _AsimovCurve:
    """√q_A(μ) on the Asimov data of μ = 0; keeps its points."""

    def __init__(self, model: pyhf.Model, data: list[float]):
        self.model = model
        self.points = {0.0: 0.0}
        config = model.config
        self.poi_bounds = config.suggested_bounds()[config.poi_index]
        self.start = config.suggested_init()[config.poi_index] or self.poi_bounds[1] / 10
        fixed = [*config.suggested_fixed()]
        fixed[config.poi_index] = True
        self._nothing_floats = all(fixed)
        self._parameters = config.suggested_init()
        self._parameters[config.poi_index] = 0.0
        nominal = self._expected_data()
        if np.allclose(data, nominal, rtol=1e-9, atol=0):
            self._data = nominal
        else:
            self._fit(0.0, data)
            self._data = self._expected_data()
        self._minimum = self._twice_nll(self._data)

    def __call__(self, mu: float) -> float:
        if mu not in self.points:
            above_minimum = self._fit(mu, self._data) - self._minimum
            if not np.isfinite(above_minimum):
                raise FitError(self.failure(mu, "the likelihood is not finite"))
            self.points[mu] = float(np.sqrt(max(above_minimum, 0.0)))
        return self.points[mu]

    def failure(self, mu: float, reason: str) -> str:
        channels = ", ".join(self.model.config.channels)
        poi = self.model.config.poi_name
        return (
            f"channel {channels}: fit at {poi} = {mu:.6g} failed ({reason}): look for bins with "
            "hardly any events in the workspace"
        )

    def _expected_data(self) -> list[float]:
        parameters = pyhf.tensorlib.astensor(self._parameters)
        return pyhf.tensorlib.tolist(self.model.expected_data(parameters))

    def _twice_nll(self, data: list[float]) -> float:
        parameters, data = map(pyhf.tensorlib.astensor, (self._parameters, data))
        return -2 * float(self.model.logpdf(parameters, data))

    def _fit(self, mu: float, data: list[float]) -> float:
        """Minimise with μ fixed, from the last fit's parameters on."""
        config = self.model.config
        bounds = config.suggested_bounds()
        low, high = self.poi_bounds
        bounds[config.poi_index] = (min(low, mu), max(high, mu))
        start = list(self._parameters)
        start[config.poi_index] = mu
        if self._nothing_floats:
            self._parameters = start
            return self._twice_nll(data)
        try:
            parameters, twice_nll = pyhf.infer.mle.fixed_poi_fit(
                mu,
                data,
                self.model,
                init_pars=start,
                par_bounds=bounds,
                return_fitted_val=True,
                do_stitch=True,
                method="L-BFGS-B",
            )
        except pyhf.exceptions.FailedMinimization as error:
            raise FitError(self.failure(mu, str(error).splitlines()[0])) from error
        self._parameters = pyhf.tensorlib.tolist(parameters)
        return float(twice_nll)


def _band_limits(curve: _AsimovCurve, confidence_level: float) -> dict[str, float]:
    alpha = 1 - confidence_level
    targets = {band: norm.isf(alpha * norm.cdf(n)) + n for band, n in BANDS.items()}
    _find_scale(curve)
    # The median and the ends of the band come first: then the rest is interpolated, not sought.
    for target in targets.values():
        _add_point_near(curve, target)
    return {band: _mu_at(curve, target) for band, target in targets.items()}


def _find_scale(curve: _AsimovCurve) -> None:
    """Evaluate the curve at some μ where it is clearly above zero."""
    mu = curve.start
    while curve(mu) < 0.1:
        mu *= 10
        _require_reachable(curve, mu)


def _add_point_near(curve: _AsimovCurve, target: float) -> None:
    """Evaluate the curve until one point is at the target, within the tolerance."""
    while min(abs(root / target - 1) for root in curve.points.values()) > ROOT_TOLERANCE:
        mu = _mu_at(curve, target)
        _require_reachable(curve, mu)
        if len(curve.points) > MAX_FITS:
            raise FitError(curve.failure(mu, f"no limit found in {MAX_FITS} fits"))
        curve(mu)


def _mu_at(curve: _AsimovCurve, target: float) -> float:
    """Invert the curve by interpolation, beyond its last point by the last slope."""
    mus = np.array(sorted(curve.points))
    roots = np.array([curve.points[mu] for mu in mus])
    slope = (roots[-1] - roots[-2]) / (mus[-1] - mus[-2])
    if target > roots[-1] and slope < FLAT * roots[-1] / mus[-1]:
        raise _no_limit(curve, mus[-1])
    if (np.diff(roots) <= 0).any():
        falls_at = mus[1:][np.diff(roots) <= 0][0]
        raise FitError(curve.failure(falls_at, "the test statistic does not rise there"))
    if target <= roots[-1]:
        return float(PchipInterpolator(roots, mus)(target))
    return float(min(mus[-1] + (target - roots[-1]) / slope, 10 * mus[-1]))


def _require_reachable(curve: _AsimovCurve, mu: float) -> None:
    largest = LARGEST_WIDENING * curve.poi_bounds[1]
    if mu > largest:
        raise _no_limit(curve, largest)


def _no_limit(curve: _AsimovCurve, mu: float) -> StatisticsError:
    config = curve.model.config
    return StatisticsError(
        f"channel {', '.join(config.channels)}: no expected limit on {config.poi_name} up to "
        f"{mu:.3g}, the signal is too small or too uncertain: simulate more signal, use fewer bins"
    )


@contextmanager
def differentiable_backend() -> Iterator[None]:
    """Use pyhf's torch backend in double precision on one thread, and put back what was there."""
    backend, optimiser = pyhf.get_backend()
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    # These tensors are tiny: threads that wait for each other cost several times the fit.
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            # pyhf makes small tensors from lists of arrays; nobody can act on this warning.
            warnings.filterwarnings("ignore", message="Creating a tensor from a list of numpy")
            pyhf.set_backend("pytorch", "scipy", precision="64b")
            yield
    finally:
        pyhf.set_backend(backend, optimiser)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
