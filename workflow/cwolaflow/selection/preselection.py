"""The ordered cuts of a study."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cwolaflow.columns import Events
from cwolaflow.errors import ConfigError
from cwolaflow.expressions import Expression
from cwolaflow.selection.cutflow import FIRST_ROW
from cwolaflow.selection.objects import object_counts
from cwolaflow.selection.variables import VARIABLES, Variable, compute, min_delta_phi_met_jet


class Preselection:
    """The cuts of a study, ready to be applied to chunks of events.

    Parameters
    ----------
    skim : mapping
        The study's ``skim`` block: ``objects``, ``cuts`` and, for a cut on
        ``min_delta_phi_met_jet``, ``met_isolation_jets``.

    Attributes
    ----------
    cuts : dict of str to Expression
        In order.
    variables : dict of str to Variable
        Those that the cuts name.
    columns : dict of str to str
        Columns that must be there, and which cut needs each.

    Raises
    ------
    ConfigError
        A cut is not a condition, has the name of another, or uses an unknown variable.
    """

    def __init__(self, skim: Mapping[str, Any]):
        self.cuts = _parse_cuts(skim["cuts"])
        counts = object_counts(skim.get("objects", {}))
        known = {*VARIABLES, *counts, "min_delta_phi_met_jet"}
        self.variables: dict[str, Variable] = {}
        self.columns: dict[str, str] = {}
        for name, cut in self.cuts.items():
            cut.check_columns(known)
            for variable in sorted(cut.columns - self.variables.keys()):
                if variable == "min_delta_phi_met_jet":
                    found = min_delta_phi_met_jet(skim.get("met_isolation_jets"))
                else:
                    found = (VARIABLES | counts)[variable]
                self.variables[variable] = found
                for column in found.columns:
                    self.columns.setdefault(column, f"the cut '{name}'")

    def apply(self, events: Events) -> dict[str, np.ndarray]:
        """Apply the cuts one after the other.

        Parameters
        ----------
        events : Events
            Columns of n events, at least ``self.columns``.

        Returns
        -------
        dict of str to np.ndarray of bool, shape (n,)
            Per cut, which events pass it and all before it; first ``all``.
        """
        values = compute(self.variables, events)
        passed = np.ones(len(events["event_weight"]), dtype=bool)
        flow = {FIRST_ROW: passed}
        for name, cut in self.cuts.items():
            passed = passed & cut.evaluate(values)
            flow[name] = passed
        return flow


def _parse_cuts(cuts: list[Mapping[str, str]]) -> dict[str, Expression]:
    parsed: dict[str, Expression] = {}
    for cut in cuts:
        name = cut["name"]
        if name in parsed or name == FIRST_ROW:
            raise ConfigError(f"skim.cuts: the name '{name}' is taken; rename one of the cuts")
        parsed[name] = Expression(cut["require"], key=f"skim.cuts.{name}")
        if not parsed[name].is_condition:
            raise ConfigError(f"skim.cuts.{name}: '{cut['require']}' is no condition; compare it")
    return parsed
