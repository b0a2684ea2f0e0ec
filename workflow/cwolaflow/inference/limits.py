"""Expected upper limits by asymptotic CLs, from few fits."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyhf
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from cwolaflow.errors import CwolaflowError, StatisticsError

BANDS = {"median": 0, "plus_2sigma": 2, "minus_2sigma": -2, "plus_1sigma": 1, "minus_1sigma": -1}
ROOT_TOLERANCE = 1e-3
LARGEST_WIDENING = 1e4
MAX_FITS = 100
FLAT = 1e-2
"""Slope of √q_A, relative to its mean slope from zero, below which it has saturated."""
DIFFERENCE = 1e-4
"""Step of the numerical derivatives; nuisance parameters are of order one, or factors near one."""
MAX_STEPS = 200
MAX_HALVINGS = 40
CONVERGED = 1e-10
"""Fall of the negative log-likelihood promised by the next step, at which a fit ends."""


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
    points costs one fit with fixed μ (see `NuisanceFit`). The best fit to
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
    with _numpy_backend():
        workspace = pyhf.Workspace(workspace)
        fit = NuisanceFit(workspace)
        curve = _AsimovCurve(fit, workspace.data(fit.model))
        return ExpectedLimit(**_band_limits(curve, confidence_level))


class NuisanceFit:
    """Fits of the nuisance parameters of a pyhf model, the parameter of interest being fixed.

    Newton steps within the bounds. One evaluation of the model, on a batch of parameter vectors
    shifted up and down, gives the gradient, and the curvature less what the expectation itself
    bends (Gauss and Newton's). Constraints are on single parameters, as pyhf has them. There is no
    automatic differentiation: its libraries take longer to import than these fits. To be used
    with pyhf's NumPy backend.

    Parameters
    ----------
    workspace : pyhf.Workspace
    """

    def __init__(self, workspace: pyhf.Workspace):
        self.model = workspace.model()
        config = self.model.config
        self.poi = config.poi_index
        self.low, self.high = np.array(config.suggested_bounds(), float).T
        fixed = np.array(config.suggested_fixed())
        fixed[self.poi] = True
        self.floating = np.flatnonzero(~fixed)
        self._batch = workspace.model(batch_size=2 * len(self.floating) + 1)
        self._main = slice(0, self.model.config.nmaindata)

    def expected_data(self, parameters: np.ndarray) -> np.ndarray:
        """Asimov data with auxiliary data, shape (n_data,)."""
        return np.asarray(self.model.expected_data(parameters))

    def nll(self, parameters: np.ndarray, data: np.ndarray) -> float:
        """Negative log-likelihood."""
        return -float(self.model.logpdf(parameters, data)[0])

    def minimise(self, data: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Fit the floating parameters from ``start`` on.

        Parameters
        ----------
        data : float64 array, shape (n_data,)
            With auxiliary data.
        start : float64 array, shape (n_parameters,)

        Returns
        -------
        parameters : float64 array, shape (n_parameters,)
        nll : float
            Negative log-likelihood there; NaN where it is not finite at ``start``.

        Raises
        ------
        ArithmeticError
            The fit did not converge.
        """
        parameters, nll = start.copy(), self.nll(start, data)
        low, high = self.low[self.floating], self.high[self.floating]
        for _ in range(MAX_STEPS):
            if not np.isfinite(nll):
                return parameters, np.nan
            if not len(self.floating):
                return parameters, nll
            gradient, hessian = self._derivatives(parameters, data)
            here = parameters[self.floating]
            held = ((here <= low) & (gradient > 0)) | ((here >= high) & (gradient < 0))
            step = np.zeros_like(here)
            free = ~held
            step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
            if -gradient @ step / 2 < CONVERGED:
                return parameters, nll
            for halvings in range(MAX_HALVINGS):
                tried = parameters.copy()
                tried[self.floating] = np.clip(here + step * 0.5**halvings, low, high)
                tried_nll = self.nll(tried, data)
                if tried_nll < nll:
                    break
            else:
                # No step goes down by more than the rounding of the likelihood.
                return parameters, nll
            parameters, nll = tried, tried_nll
        raise ArithmeticError(f"no minimum in {MAX_STEPS} steps")

    def _derivatives(
        self, parameters: np.ndarray, data: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        n = len(self.floating)
        rows = np.tile(parameters, (2 * n + 1, 1))
        rows[range(n), self.floating] += DIFFERENCE
        rows[range(n, 2 * n), self.floating] -= DIFFERENCE
        constraint = -np.asarray(
            self._batch.constraint_logpdf(np.tile(data[self._main.stop :], (2 * n + 1, 1)), rows)
        )
        expected = np.asarray(self._batch.expected_data(rows, include_auxdata=False))
        observed, rate = data[self._main], expected[-1]
        slopes = (expected[:n] - expected[n : 2 * n]) / (2 * DIFFERENCE)
        gradient = slopes @ (1 - observed / rate)
        gradient += (constraint[:n] - constraint[n : 2 * n]) / (2 * DIFFERENCE)
        hessian = slopes @ (slopes * (observed / rate**2)).T
        bend = (constraint[:n] - 2 * constraint[-1] + constraint[n : 2 * n]) / DIFFERENCE**2
        hessian[np.diag_indices(n)] += np.maximum(bend, np.finfo(float).tiny)
        return gradient, hessian


class _AsimovCurve:
    """√q_A(μ) on the Asimov data of μ = 0; keeps its points."""

    def __init__(self, fit: NuisanceFit, data: list[float]):
        self.fit = fit
        self.points = {0.0: 0.0}
        config = fit.model.config
        high = fit.high[fit.poi]
        self._parameters = np.array(config.suggested_init(), float)
        self.start = self._parameters[fit.poi] or high / 10
        self._parameters[fit.poi] = 0.0
        nominal = fit.expected_data(self._parameters)
        if np.allclose(data, nominal, rtol=1e-9, atol=0):
            self._data = nominal
        else:
            self._fit(0.0, np.array(data, float))
            self._data = fit.expected_data(self._parameters)
        self._minimum = fit.nll(self._parameters, self._data)

    def __call__(self, mu: float) -> float:
        if mu not in self.points:
            above_minimum = 2 * (self._fit(mu, self._data) - self._minimum)
            self.points[mu] = float(np.sqrt(max(above_minimum, 0.0)))
        return self.points[mu]

    def failure(self, mu: float, reason: str) -> str:
        config = self.fit.model.config
        return (
            f"channel {', '.join(config.channels)}: fit at {config.poi_name} = {mu:.6g} failed "
            f"({reason}): look for bins with hardly any events in the workspace"
        )

    def _fit(self, mu: float, data: np.ndarray) -> float:
        """Minimise with μ fixed, from the last fit's parameters on."""
        start = self._parameters.copy()
        start[self.fit.poi] = mu
        try:
            parameters, nll = self.fit.minimise(data, start)
        except (ArithmeticError, np.linalg.LinAlgError) as error:
            raise FitError(self.failure(mu, str(error))) from error
        if not np.isfinite(nll):
            raise FitError(self.failure(mu, "the likelihood is not finite"))
        self._parameters = parameters
        return nll


def _band_limits(curve: _AsimovCurve, confidence_level: float) -> dict[str, float]:
    alpha = 1 - confidence_level
    targets = {band: float(-ndtri(alpha * ndtr(n)) + n) for band, n in BANDS.items()}
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
    largest = LARGEST_WIDENING * curve.fit.high[curve.fit.poi]
    if mu > largest:
        raise _no_limit(curve, largest)


def _no_limit(curve: _AsimovCurve, mu: float) -> StatisticsError:
    config = curve.fit.model.config
    return StatisticsError(
        f"channel {', '.join(config.channels)}: no expected limit on {config.poi_name} up to "
        f"{mu:.3g}, the signal is too small or too uncertain: simulate more signal, use fewer bins"
    )


@contextmanager
def _numpy_backend() -> Iterator[None]:
    """Use pyhf's NumPy backend in double precision on one thread, and put back what was there."""
    backend, optimiser = pyhf.get_backend()
    try:
        # These arrays are tiny: threads that wait for each other cost several times the fit.
        with threadpool_limits(1), np.errstate(all="ignore"):
            pyhf.set_backend("numpy", "scipy", precision="64b")
            yield
    finally:
        pyhf.set_backend(backend, optimiser)
