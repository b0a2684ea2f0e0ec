"""The statistical model of one channel as a pyhf workspace."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyhf

from cwolaflow.errors import ConfigError, InputError, StatisticsError
from cwolaflow.files import read_json
from cwolaflow.inference.binning import Shift, Templates
from cwolaflow.inference.precision import as_arrays, linearised_error

MEASUREMENT = "expected_limit"
LARGEST_PULL = 5.0


def build_workspace(
    templates: Templates,
    signals: Collection[str],
    channel: str,
    poi: str,
    cross_section_uncertainty: Mapping[str, float],
    luminosity_uncertainty: float,
    shifts: Mapping[str, Shift] = MappingProxyType({}),
) -> dict:
    """Build the pyhf workspace (HistFactory JSON 1.0.0) of one channel.

    Every process is a sample of its own. Signals carry the parameter of interest as a free factor.
    Log-normal uncertainties of relative size δ, with factors 1 + δ and 1 / (1 + δ) at ±1σ, so that
    the yield stays positive and all interpolation codes of HistFactory agree: the cross-section of
    each process, ``xs_<process>``, and one ``luminosity`` shared by all. Simulation errors follow
    Barlow and Beeston's light method with one factor a bin: ``staterror_<channel>`` on the
    backgrounds and ``staterror_signal_<channel>`` on the signals. The two are apart because the
    signal enters at its nominal rate (a branching fraction of 1): in one common factor it would
    dilute the error of the background far below what it is at the limit.

    The observation is the expected background (an Asimov data set): the workspace is made for
    expected limits. Put in other data to get observed ones.

    Parameters
    ----------
    templates : Templates
        Expected events at the luminosity, signals at their nominal rate.
    signals : collection of str
        Processes that are signal; all others are background.
    channel : str
        Name of the channel.
    poi : str
        Name of the parameter of interest.
    cross_section_uncertainty : mapping of str to float
        Relative uncertainty of each process.
    luminosity_uncertainty : float
        Relative uncertainty of the luminosity.
    shifts : mapping of str to Shift
        Shape uncertainties by name, coherent in all processes. The bounds of such a parameter
        end where it would empty a bin, at 5 standard deviations at most.

    Returns
    -------
    dict
        Valid against pyhf's schema. The bounds of the parameter of interest are 0 and, far above
        the limit, ten times the sum of its expected error and the strength that gives one event (at
        least 1, so that the nominal signal can be tested).

    Raises
    ------
    ConfigError
        A process has no cross-section uncertainty, or there is no signal or background.
    StatisticsError
        The background of a bin, or the signal in total, is not positive.
    """
    backgrounds = [process for process in templates.counts if process not in signals]
    signals = [process for process in templates.counts if process in signals]
    for role, names in (("signal", signals), ("background", backgrounds)):
        if not names:
            raise ConfigError(f"channel {channel} has no {role}: give a process this role")
    missing = [name for name in templates.counts if name not in cross_section_uncertainty]
    if missing:
        raise ConfigError(f"limits.cross_section_uncertainty lacks {missing[0]}: add it")

    background = np.sum([templates.counts[process] for process in backgrounds], axis=0)
    signal = np.sum([templates.counts[process] for process in signals], axis=0)
    _require_positive(background, signal, templates.edges, channel)
    arrays = as_arrays(templates, signals, cross_section_uncertainty)
    error = float(linearised_error(*arrays, luminosity_uncertainty))
    upper = max(1.0, 10 * (error + 1 / signal.sum()))
    _require_positive_sum(background, signal, upper, templates.edges, channel)

    def sample(process):
        is_signal = process in signals
        modifiers = [
            _normsys(f"xs_{process}", cross_section_uncertainty[process]),
            _normsys("luminosity", luminosity_uncertainty),
            {
                "name": f"staterror_signal_{channel}" if is_signal else f"staterror_{channel}",
                "type": "staterror",
                "data": np.sqrt(templates.variances[process]).tolist(),
            },
        ]
        if is_signal:
            modifiers.insert(0, {"name": poi, "type": "normfactor", "data": None})
        modifiers += [_histosys(name, shift, process) for name, shift in shifts.items()]
        return {
            "name": process,
            "data": templates.counts[process].tolist(),
            "modifiers": modifiers,
        }

    spec = {
        "version": "1.0.0",
        "channels": [{"name": channel, "samples": [sample(name) for name in templates.counts]}],
        "observations": [{"name": channel, "data": background.tolist()}],
        "measurements": [
            {
                "name": MEASUREMENT,
                "config": {
                    "poi": poi,
                    "parameters": [
                        {"name": poi, "inits": [error], "bounds": [[0.0, upper]]},
                        *(
                            {"name": name, "bounds": [_pull_bounds(shift, templates, signals)]}
                            for name, shift in shifts.items()
                        ),
                    ],
                },
            }
        ],
    }
    pyhf.schema.validate(spec, "workspace.json")
    return spec


def read_workspace(path: str | Path) -> dict:
    """Read a workspace.

    Raises
    ------
    InputError
        The file is damaged or no pyhf workspace.
    """
    spec = read_json(path)
    try:
        pyhf.schema.validate(spec, "workspace.json")
    except pyhf.exceptions.InvalidSpecification as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: no pyhf workspace ({reason}); delete it and run again"
        ) from error
    return spec


def _normsys(name, relative):
    return {"name": name, "type": "normsys", "data": {"hi": 1 + relative, "lo": 1 / (1 + relative)}}


def _histosys(name, shift, process):
    data = {"hi_data": shift.up[process].tolist(), "lo_data": shift.down[process].tolist()}
    return {"name": name, "type": "histosys", "data": data}


def _pull_bounds(shift, templates, signals):
    """Pulls at which the shifted background, or signal, of some bin would reach zero."""
    ends = []
    for shifted in (shift.down, shift.up):
        end = LARGEST_PULL
        for is_signal in (False, True):
            chosen = [name for name in templates.counts if (name in signals) == is_signal]
            nominal = np.sum([templates.counts[name] for name in chosen], axis=0)
            loss = nominal - np.sum([shifted[name] for name in chosen], axis=0)
            losing = loss > 0
            end = np.min(0.99 * nominal[losing] / loss[losing], initial=end)
        ends.append(float(end))
    return [-ends[0], ends[1]]


def _require_positive(background, signal, edges, channel):
    if not signal.sum() > 0:
        raise StatisticsError(
            f"channel {channel}: the signal adds up to {signal.sum():.3g} expected events; "
            "simulate more signal"
        )
    if not (background > 0).all():
        bin_ = int(np.argmin(background))
        raise StatisticsError(
            f"channel {channel}: {background[bin_]:.3g} background events expected between "
            f"{edges[bin_]:g} and {edges[bin_ + 1]:g}; use fewer bins or simulate more background"
        )


def _require_positive_sum(background, signal, strength, edges, channel):
    total = background + strength * signal
    if not (total > 0).all():
        bin_ = int(np.argmin(total))
        raise StatisticsError(
            f"channel {channel}: negative weights make the signal {signal[bin_]:.3g} events "
            f"between {edges[bin_]:g} and {edges[bin_ + 1]:g}; use fewer bins or "
            "simulate more signal"
        )
