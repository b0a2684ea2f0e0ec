"""Calorimeter images: averages of the processes, and single events."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from cwolaflow.errors import ConfigError, InputError, StatisticsError
from cwolaflow.plotting.labels import MISSING_PT, process_style
from cwolaflow.plotting.style import NAME, PAGE_WIDTH, energy_label, new_figure, stamp, styled

DECADES, CHANNEL_DECADES = 4, 3
BOX = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none"}
AXES_BY_REFERENCE = {
    "detector": (r"$\eta$", r"$\phi$"),
    "leading_jet": (r"$\eta \cdot$ sign $\eta_{j_\mathrm{1}}$", r"$\phi - \phi_{j_\mathrm{1}}$"),
    "pt_centroid": (r"$\eta^\prime$", r"$\phi^\prime$"),
    "missing_et": (
        r"$\eta \cdot$ sign $\eta_{j_\mathrm{1}}$",
        rf"$\phi - \phi({MISSING_PT})$",
    ),
}

CHANNELS = (r"towers, $E_\mathrm{T}$", r"tracks, $p_\mathrm{T}$", r"decay products, $p_\mathrm{T}$")
"""Titles of the kinds of constituents, in the order of `constituents.KINDS`."""


@styled
def average_images(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    processes: Mapping[str, Mapping[str, str]],
    *,
    eta_range: tuple[float, float],
    sqrt_s_tev: float,
    reference: str,
) -> Figure:
    """Draw the mean transverse energy in each pixel, one row a process.

    On the left as the detector saw the events, on the right after their preprocessing. All panels
    share one logarithmic colour scale of four decades; pixels below it have its darkest colour,
    pixels that no event filled are white.

    Parameters
    ----------
    before, after : mapping
        Mean over events of ΣE_T in GeV by process: float, shape (eta_bins, phi_bins), without
        the periodic padding; φ runs from −π to π.
    processes : mapping
        The block ``processes`` of the study.
    eta_range : tuple of float
        Ends of the η axis.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.
    reference : str
        What the images ``after`` were rotated to: ``leading_jet`` or ``missing_et``.

    Raises
    ------
    ConfigError
        The reference or a process is unknown.
    InputError
        No image has an entry, or their shapes or processes differ.
    """
    _check_reference(reference)
    styles = {name: process_style(processes, name) for name in after}
    names = [name for name in processes if name in after]
    if set(before) != set(after):
        raise InputError(
            f"average images: {sorted(before)} before and {sorted(after)} after the preprocessing; "
            "make them anew"
        )
    norm = _common_scale([*before.values(), *after.values()], DECADES)

    figure = new_figure(height=1.2 + 2.6 * len(names))
    grid = figure.subplots(len(names), 2, sharex=True, sharey=True, squeeze=False)
    for row, name in zip(grid, names, strict=True):
        for panel, image in zip(row, (before[name], after[name]), strict=True):
            shown = _show(panel, image, eta_range, norm)
        row[0].annotate(
            styles[name]["label"],
            (0.04, 0.95),
            xycoords="axes fraction",
            va="top",
            bbox=BOX,
        )
    for column, frame in enumerate(("detector", reference)):
        x_label, y_label = AXES_BY_REFERENCE[frame]
        grid[-1, column].set_xlabel(x_label)
        for row in range(len(names)):
            grid[row, column].set_ylabel(f"{y_label} [rad]")
    figure.colorbar(
        shown,
        ax=grid,
        location="bottom",
        shrink=0.7,
        aspect=40,
        label=r"Mean $\mathrm{\Sigma}E_\mathrm{T}$ per pixel [GeV]",
    )
    grid[0, 0].set_title(NAME, loc="left")
    grid[0, 1].set_title(energy_label(sqrt_s_tev), loc="right")
    return figure


@styled
def channel_images(
    averages: Mapping[str, np.ndarray],
    processes: Mapping[str, Mapping[str, str]],
    *,
    eta_range: tuple[float, float],
    sqrt_s_tev: float,
    reference: str,
) -> Figure:
    """Draw the mean transverse momentum in each pixel: a row a process, a column a channel.

    All panels share one logarithmic colour scale of three decades, as in `average_images`.

    Parameters
    ----------
    averages : mapping
        Mean over events of ΣpT in GeV by process, before any standardisation: float, shape
        (channels, eta_bins, phi_bins); channels as `CHANNELS`, or the first of them.
    processes : mapping
        The block ``processes`` of the study.
    eta_range : tuple of float
        Ends of the η axis.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.
    reference : str
        The frame: ``detector``, or the ``reference`` of the set.

    Raises
    ------
    ConfigError
        The reference or a process is unknown.
    InputError
        No image has an entry, or their shapes differ.
    """
    _check_reference(reference)
    styles = {name: process_style(processes, name) for name in averages}
    names = [name for name in processes if name in averages]
    norm = _common_scale(averages.values(), CHANNEL_DECADES)
    channels = CHANNELS[: len(averages[names[0]])]
    figure = new_figure(height=1.8 + 3.4 * len(names), width=PAGE_WIDTH)
    grid = figure.subplots(len(names), len(channels), sharex=True, sharey=True, squeeze=False)
    x_label, y_label = AXES_BY_REFERENCE[reference]
    for row, name in zip(grid, names, strict=True):
        for panel, image in zip(row, averages[name], strict=True):
            shown = _show(panel, image, eta_range, norm)
        row[0].set_ylabel(f"{styles[name]['label']}\n{y_label} [rad]")
    for column, channel in zip(grid.T, channels, strict=True):
        column[0].set_title(channel)
        column[-1].set_xlabel(x_label)
    figure.colorbar(
        shown, ax=grid, label=r"Mean $\mathrm{\Sigma}p_\mathrm{T}$ per event and pixel [GeV]"
    )
    figure.suptitle(f"{NAME}   {energy_label(sqrt_s_tev)}", x=0.02, ha="left")
    return figure


@styled
def single_event(
    image: np.ndarray,
    phi_padding: int,
    *,
    eta_range: tuple[float, float],
    sqrt_s_tev: float,
    reference: str,
    note: str,
) -> Figure:
    """Draw one event as a network sees it.

    Parameters
    ----------
    image : numpy.ndarray
        ΣE_T in GeV, float, shape (eta_bins, phi_bins + 2 phi_padding): with the periodic
        padding, whose edges are drawn as lines.
    phi_padding : int
        Columns that are repeated on either side.
    eta_range : tuple of float
        Ends of the η axis.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.
    reference : str
        What the image was rotated to: ``leading_jet`` or ``missing_et``.
    note : str
        What the event is.

    Raises
    ------
    ConfigError
        The reference is unknown.
    InputError
        The image has no energy.
    """
    _check_reference(reference)
    if image.max() <= 0:
        raise InputError("single event: no pixel has energy; make the images anew")
    figure = new_figure(height=5.0)
    panel = figure.subplots()
    lit = image[image > 0]
    norm = LogNorm(max(lit.min(), image.max() * 10.0**-DECADES), image.max())
    half_width = np.pi * image.shape[1] / (image.shape[1] - 2 * phi_padding)
    shown = _show(panel, image, eta_range, norm, half_width)
    if half_width > np.pi:
        for edge in (-np.pi, np.pi):
            panel.axhline(edge, color="#777777", linestyle="--", linewidth=1)
    x_label, y_label = AXES_BY_REFERENCE[reference]
    panel.set_xlabel(x_label)
    panel.set_ylabel(f"{y_label} [rad]")
    panel.annotate(note, (0.03, 0.5), xycoords="axes fraction", va="center", fontsize=13, bbox=BOX)
    figure.colorbar(shown, ax=panel, label=r"$\mathrm{\Sigma}E_\mathrm{T}$ per pixel [GeV]")
    stamp(panel, sqrt_s_tev)
    return figure


def _check_reference(reference: str) -> None:
    if reference not in AXES_BY_REFERENCE:
        raise ConfigError(
            f"images: reference {reference!r} is unknown; use one of {list(AXES_BY_REFERENCE)}"
        )


def _common_scale(images: Collection[np.ndarray], decades: int) -> LogNorm:
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise InputError(f"average images: shapes {shapes} differ or are none; make them anew")
    peak = max(image.max() for image in images)
    if peak <= 0:
        raise InputError("average images: no pixel has energy; make the images anew")
    return LogNorm(peak * 10.0**-decades, peak)


def _show(
    panel: Axes,
    image: np.ndarray,
    eta_range: tuple[float, float],
    norm: LogNorm,
    half_width: float = np.pi,
) -> AxesImage:
    pixels = np.ma.masked_less_equal(image.T, 0)
    shown = panel.imshow(
        np.ma.maximum(pixels, norm.vmin),
        origin="lower",
        extent=(*eta_range, -half_width, half_width),
        aspect="auto",
        interpolation="nearest",
        norm=norm,
        cmap="viridis",
    )
    panel.set_yticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
    panel.set_yticks(np.arange(-3, 4) * np.pi / 4, minor=True)
    panel.tick_params(which="both", direction="out", top=False, right=False)
    return shown


def most_massive_signal(events: pd.DataFrame) -> int:
    """Give the row of the signal event with the highest m_jj, the first of equals.

    Raises
    ------
    StatisticsError
        There is no signal event.
    """
    signal = np.flatnonzero(events["label"] == 1)
    if not len(signal):
        raise StatisticsError("event tables: there is no signal event; check the sample table")
    return int(signal[np.argmax(events["m_jj"].to_numpy()[signal])])
