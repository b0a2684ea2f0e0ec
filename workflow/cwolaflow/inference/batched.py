"""Fits of one model to many data sets at once."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyhf
import torch
from threadpoolctl import threadpool_limits

from cwolaflow.inference.limits import FitError

MAX_STEPS = 200
MAX_HALVINGS = 40
TOLERANCE = 1e-9
"""Expected fall of the negative log-likelihood in the next step, at which a fit has converged."""
NEAR_BOUND = 1e-8
"""Distance from a bound that counts as none: a step cut short there would not go down."""


class BatchedModel:
    """A pyhf model with one parameter vector a data set.

    Minimises by projected Newton steps with exact second derivatives, all data sets together: the
    cost of a step is that of the tensor operations, which hardly depends on their number. To be
    used inside `differentiable_backend`.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace.
    experiments : int
        Number of data sets.
    """

    def __init__(self, workspace: Mapping[str, Any], experiments: int) -> None:
        workspace = pyhf.Workspace(workspace)
        self.single = workspace.model()
        self.model = workspace.model(batch_size=experiments)
        self.experiments = experiments
        config = self.single.config
        self.poi = config.poi_index
        self.channels = ", ".join(config.channels)
        bounds = torch.tensor([list(map(float, pair)) for pair in config.suggested_bounds()])
        self.low, self.high = bounds[:, 0].contiguous(), bounds[:, 1].contiguous()
        self.fixed = torch.tensor(config.suggested_fixed())
        self.nominal = torch.tensor(config.suggested_init(), dtype=torch.float64)

    def parameters(self, mu: float | np.ndarray | torch.Tensor) -> torch.Tensor:
        """Nominal parameters with the parameter of interest at ``mu``, shape (experiments, n)."""
        parameters = self.nominal.repeat(self.experiments, 1)
        parameters[:, self.poi] = torch.as_tensor(mu, dtype=torch.float64)
        return parameters

    def expected_data(self, parameters: torch.Tensor) -> torch.Tensor:
        """Asimov data with auxiliary data, shape (experiments, n_data)."""
        with torch.no_grad():
            return self.model.expected_data(parameters)

    def twice_nll(self, parameters: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        """Twice the negative log-likelihood of each data set, shape (experiments,)."""
        with torch.no_grad():
            return -2 * self.model.logpdf(parameters, data)

    def fit(
        self, data: torch.Tensor, start: torch.Tensor, *, fixed_poi: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Minimise over the floating parameters, within their bounds.

        Parameters
        ----------
        data : float64 tensor, shape (experiments, n_data)
            With auxiliary data.
        start : float64 tensor, shape (experiments, n_parameters)
        fixed_poi : bool
            Keep the parameter of interest where ``start`` has it, which may differ from one
            data set to the next and lie beyond its bounds.

        Returns
        -------
        parameters : float64 tensor, shape (experiments, n_parameters)
        twice_nll : float64 tensor, shape (experiments,)

        Raises
        ------
        FitError
            A fit did not converge.
        """
        fixed = self.fixed.clone()
        fixed[self.poi] |= fixed_poi
        parameters = start.clone()
        nll = self.twice_nll(parameters, data) / 2
        for _ in range(MAX_STEPS):
            gradient, hessian = self.derivatives(parameters, data, ~fixed)
            at_low = (parameters <= self.low + NEAR_BOUND) & (gradient > 0) & ~fixed
            at_high = (parameters >= self.high - NEAR_BOUND) & (gradient < 0) & ~fixed
            parameters = torch.where(at_low, self.low, parameters)
            parameters = torch.where(at_high, self.high, parameters)
            held = at_low | at_high | fixed
            step, fall = _newton_step(gradient, hessian, held)
            pending = fall > TOLERANCE * (1 + nll.abs() * 1e-3)
            if not pending.any():
                return parameters, 2 * nll
            moved, better = self._search(
                parameters, nll, step, pending & nll.isfinite(), data, fixed
            )
            if torch.equal(moved, parameters):
                break
            parameters, nll = moved, better
        failed = int((pending | ~nll.isfinite()).sum())
        raise FitError(
            f"channel {self.channels}: {failed} of {self.experiments} fits to pseudo-data did not "
            "converge: look for bins with hardly any events in the workspace"
        )

    def derivatives(
        self, parameters: torch.Tensor, data: torch.Tensor, floating: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient and Hessian of the negative log-likelihood.

        Parameters
        ----------
        parameters, data : float64 tensor
        floating : bool tensor, shape (n_parameters,)
            Rows of the Hessian that are wanted; the others are zero.

        Returns
        -------
        gradient : float64 tensor, shape (experiments, n_parameters)
        hessian : float64 tensor, shape (experiments, n_parameters, n_parameters)
        """
        at = parameters.detach().requires_grad_()
        nll = -self.model.logpdf(at, data).sum()
        (gradient,) = torch.autograd.grad(nll, at, create_graph=True)
        hessian = torch.zeros(*parameters.shape, parameters.shape[1], dtype=torch.float64)
        for i in torch.nonzero(floating)[:, 0].tolist():
            (row,) = torch.autograd.grad(gradient[:, i].sum(), at, retain_graph=True)
            hessian[:, i] = row
        return gradient.detach(), hessian

    def _search(self, parameters, nll, step, pending, data, fixed):
        """Halve the step of every data set until its likelihood does not get worse."""
        length = torch.where(pending, 1.0, 0.0).to(torch.float64)
        for _ in range(MAX_HALVINGS):
            moved = parameters + length[:, None] * step
            inside = torch.minimum(torch.maximum(moved, self.low), self.high)
            moved = torch.where(fixed, parameters, inside)
            tried = self.twice_nll(moved, data) / 2
            worse = ~(tried <= nll) & pending
            if not worse.any():
                return moved, torch.where(pending, tried, nll)
            length = torch.where(worse, length / 2, length)
        return torch.where(worse[:, None], parameters, moved), torch.where(worse, nll, tried)


def _newton_step(gradient, hessian, held):
    """Step that goes down also where the likelihood is not convex, and the fall it promises."""
    gradient = torch.where(held, 0.0, gradient)
    pairs = held[:, :, None] | held[:, None, :]
    hessian = torch.where(pairs, 0.0, hessian) + torch.diag_embed(held.to(torch.float64))
    values, vectors = torch.linalg.eigh(hessian)
    values = values.abs().clamp_min(1e-8)
    step = -(vectors @ ((vectors.mT @ gradient[:, :, None]) / values[:, :, None]))[:, :, 0]
    return step, -0.5 * (gradient * step).sum(dim=1)


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
