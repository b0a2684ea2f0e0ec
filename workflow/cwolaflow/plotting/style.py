"""Look of the figures, the line above them, and how they reach the disk."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import mplhep
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cwolaflow.errors import ConfigError
from cwolaflow.files import atomic_path

# No creation date and a fixed salt: the same numbers must give the same bytes.
FORMATS = {"pdf": {"CreationDate": None}, "png": {}, "svg": {"Date": None}}

# Twice the 8.5 cm of a journal column: a font of 15 pt is printed at 7.5 pt.
WIDTH = 6.7
PAGE_WIDTH = 14.0  # likewise of the 17.8 cm of a page

STYLE = {
    **mplhep.style.ROOT,
    "figure.dpi": 100,
    "font.size": 15,
    "axes.labelsize": 16,
    "axes.titlesize": 15,
    "axes.linewidth": 1.2,
    "axes.unicode_minus": True,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
    "xtick.major.size": 8,
    "xtick.minor.size": 4,
    "ytick.major.size": 8,
    "ytick.minor.size": 4,
    "legend.fontsize": 13,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
    "legend.labelspacing": 0.35,
    "lines.linewidth": 1.8,
    "hatch.linewidth": 0.8,
    "mathtext.default": "it",
    "svg.hashsalt": "cwolaflow",
}

NAME = r"$\mathbf{cwolaflow}$  $\mathit{simulation}$"

styled = mpl.rc_context(STYLE)
"""Decorator of the functions that draw: the style holds inside, the caller's is left alone."""

# Okabe and Ito's palette, without its yellow: told apart by all kinds of colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Make an empty figure outside of pyplot's global state.

    Parameters
    ----------
    height, width : float
        Inches; the width is ``WIDTH`` for a column of a journal or ``PAGE_WIDTH`` for its page.
    """
    return Figure(figsize=(width, height), layout="constrained")


def luminosity_label(luminosity_fb: float) -> str:
    """Write a luminosity with its unit, e.g. 36 fb⁻¹."""
    return rf"{luminosity_fb:g} fb$^\mathrm{{-1}}$"


def energy_label(sqrt_s_tev: float) -> str:
    """Write the centre-of-mass energy with its unit, e.g. √s = 13 TeV."""
    return f"√$s$ = {sqrt_s_tev:g} TeV"


def stamp(axes: Axes, sqrt_s_tev: float, luminosity_fb: float | None = None) -> None:
    """Write the line above a plot: what made it, the energy and the luminosity.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The uppermost axes of the figure.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.
    luminosity_fb : float, optional
        Integrated luminosity in fb⁻¹; left out where the plot does not depend on it.
    """
    axes.set_title(NAME, loc="left")
    conditions = [energy_label(sqrt_s_tev)]
    if luminosity_fb is not None:
        conditions.append(luminosity_label(luminosity_fb))
    axes.set_title(", ".join(conditions), loc="right")


def save_figure(figure: Figure, paths: Iterable[str | Path], dpi: int) -> None:
    """Write a figure to each path, atomically, in the format of the path's suffix.

    The bytes depend on the figure only: they hold no time of writing.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    paths : iterable of str or Path
        Files to write; a suffix each that is in ``FORMATS``.
    dpi : int
        Resolution of the pixel formats in dots per inch.

    Raises
    ------
    ConfigError
        A suffix is none of ``FORMATS``.
    """
    paths = [Path(path) for path in paths]
    for path in paths:
        if path.suffix[1:] not in FORMATS:
            raise ConfigError(
                f"{path}: no plot format {path.suffix!r}; set `plots: formats:` "
                f"to some of {sorted(FORMATS)}"
            )
    with mpl.rc_context(STYLE):
        for path in paths:
            with atomic_path(path) as temporary:
                kind = path.suffix[1:]
                figure.savefig(temporary, format=kind, dpi=dpi, metadata=FORMATS[kind])
