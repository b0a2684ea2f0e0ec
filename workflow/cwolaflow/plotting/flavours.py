"""Flavours of the two leading jets."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cwolaflow.plotting.labels import process_style
from cwolaflow.plotting.style import COLOURS, new_figure, stamp, styled

FLAVOURS = {
    "2q0g": "two quark jets",
    "1q1g": "a quark and a gluon jet",
    "0q2g": "two gluon jets",
    "unmatched": "a jet without a parton",
}
SMALLEST_LABELLED = 0.05


@styled
def flavour_composition(
    yields: pd.DataFrame, processes: Mapping[str, Mapping[str, str]], *, sqrt_s_tev: float
) -> Figure:
    """Draw the shares of the flavour categories of each process as stacked bars.

    Parameters
    ----------
    yields : pandas.DataFrame
        ``yields.csv``: ``process``, ``flavour_category`` and ``weighted_fb``.
    processes : mapping
        The block ``processes`` of the study.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    ConfigError
        A process is not in the study.
    """
    expected = yields.pivot_table("weighted_fb", "process", "flavour_category", aggfunc="sum")
    for name in expected.index:
        process_style(processes, name)
    names = [name for name in processes if name in expected.index]
    shares = expected.reindex(index=names, columns=list(FLAVOURS)).fillna(0.0)
    shares = shares.div(shares.sum(axis=1), axis=0)

    figure = new_figure(height=2.2 + 0.75 * len(names))
    axes = figure.subplots()
    left = np.zeros(len(names))
    for colour, (category, label) in zip(COLOURS, FLAVOURS.items(), strict=False):
        share = shares[category].to_numpy()
        if share.any():
            axes.barh(names, share, left=left, height=0.6, color=colour, label=label)
        for place in np.flatnonzero(share > SMALLEST_LABELLED):
            axes.annotate(
                f"{share[place]:.0%}",
                (left[place] + share[place] / 2, place),
                ha="center",
                va="center",
                color="white",
                fontsize=14,
            )
        left += share
    axes.set_yticks(range(len(names)), [processes[name]["label"] for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Share of the selected events (weighted)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    stamp(axes, sqrt_s_tev)
    return figure
