"""Pulls of nuisance parameters on Asimov data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from cwolaflow.errors import StatisticsError
from cwolaflow.inference.batched import BatchedModel, differentiable_backend


def asimov_pulls(
    workspace: Mapping[str, Any], tested: float, injected: float = 0.0
) -> pd.DataFrame:
    """Fit Asimov data and say where the nuisance parameters go.

    Parameters
    ----------
    workspace : mapping
        pyhf workspace.
    tested : float
        Value of the parameter of interest at which the nuisance parameters are profiled as well,
        for instance the expected limit.
    injected : float
        Value of the parameter of interest in the Asimov data.

    Returns
    -------
    DataFrame
        One row a floating nuisance parameter: ``parameter``; ``pull``, of the best fit, from the
        nominal value and in units of the uncertainty before the fit; ``uncertainty``, after the
        fit in the same units, from the second derivatives of the likelihood with the parameter of
        interest floating; ``correlation_with_poi``; ``pull_at_tested``. Without the constraints
        of the fit the uncertainty is 1; below 1 the data measure the parameter.

    Raises
    ------
    FitError
        A fit did not converge.
    StatisticsError
        The likelihood has no minimum in some direction.
    """
    with differentiable_backend():
        batch = BatchedModel(workspace, 1)
        config = batch.single.config
        data = batch.expected_data(batch.parameters(injected))
        best, _ = batch.fit(data, batch.parameters(injected), fixed_poi=False)
        start = best.clone()
        start[:, batch.poi] = tested
        profiled, _ = batch.fit(data, start, fixed_poi=True)
        floating = ~batch.fixed
        _, hessian = batch.derivatives(best, data, floating)
        places = torch.nonzero(floating)[:, 0]
        hessian = hessian[0][places][:, places]
        values = torch.linalg.eigvalsh(hessian)
        if not values[0] > 1e-10 * values[-1]:
            raise StatisticsError(
                f"channel {batch.channels}: a parameter is not determined by the fit; take out a "
                "free factor"
            )
        covariance = torch.linalg.inv(hessian).numpy()
    errors = np.sqrt(np.diag(covariance))
    places = places.tolist()
    poi = places.index(batch.poi)
    widths, centres = _prior(config)
    rows = []
    for k, place in enumerate(places):
        if place in widths:
            rows.append(
                {
                    "parameter": config.par_names[place],
                    "pull": (float(best[0, place]) - centres[place]) / widths[place],
                    "uncertainty": errors[k] / widths[place],
                    "correlation_with_poi": covariance[k, poi] / (errors[k] * errors[poi]),
                    "pull_at_tested": (float(profiled[0, place]) - centres[place]) / widths[place],
                }
            )
    return pd.DataFrame(rows)


def _prior(config) -> tuple[dict[int, float], dict[int, float]]:
    """Width and centre of the constraint of every constrained parameter, by its place."""
    widths, centres = {}, {}
    for name in config.par_order:
        parameter = config.param_set(name)
        if parameter.constrained:
            where = range(config.par_slice(name).start, config.par_slice(name).stop)
            widths |= dict(zip(where, map(float, parameter.width()), strict=True))
            centres |= dict(zip(where, map(float, parameter.suggested_init), strict=True))
    return widths, centres
