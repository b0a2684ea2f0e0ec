"""Correlations of network outputs and features."""

import pandas as pd
from matplotlib.figure import Figure

from cwolaflow.errors import InputError
from cwolaflow.plotting.labels import VARIABLES, analysis_label
from cwolaflow.plotting.style import new_figure, stamp, styled


@styled
def correlation_matrices(table: pd.DataFrame, *, sqrt_s_tev: float) -> Figure:
    """Draw the correlation coefficients in per cent, one panel a class.

    Parameters
    ----------
    table : DataFrame
        From `discrimination.correlation_table`.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.

    Raises
    ------
    InputError
        The table is empty.
    """
    if table.empty:
        raise InputError("correlations: the table is empty; make it anew")
    names = list(dict.fromkeys(table["variable_1"]))
    labels = [VARIABLES[n].label if n in VARIABLES else analysis_label(n) for n in names]
    classes = list(dict.fromkeys(table["class"]))
    figure = new_figure(height=3.0 + len(classes) * 0.43 * len(names))
    panels = figure.subplots(len(classes), 1, sharex=True, squeeze=False)[:, 0]
    for panel, kind in zip(panels, classes, strict=True):
        of_class = table[table["class"] == kind]
        keyed = of_class.set_index(["variable_1", "variable_2"])["correlation"]
        matrix = keyed.unstack().loc[names, names].to_numpy()  # noqa: PD010 (pairs are unique)
        shown = panel.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r", aspect="auto")
        for (row, column), value in zip(
            [(i, j) for i in range(len(names)) for j in range(len(names))],
            matrix.ravel(),
            strict=True,
        ):
            panel.text(
                column,
                row,
                f"{100 * value:.0f}",
                ha="center",
                va="center",
                fontsize=10,
                color="white" if abs(value) > 0.6 else "black",
            )
        panel.set_yticks(range(len(names)), labels, fontsize=11)
        panel.set_xticks(range(len(names)), labels, fontsize=11, rotation=90)
        panel.tick_params(which="both", length=0)
        panel.minorticks_off()
        panel.set_ylabel(kind.capitalize())
    figure.colorbar(shown, ax=panels, label="Pearson correlation (numbers: per cent)")
    stamp(panels[0], sqrt_s_tev)
    return figure
