"""Average calorimeter images of the processes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.plotting.labels import MISSING_PT, process_style
from cwolaflow.plotting.style import new_figure, stamp, styled

DECADES = 4
AXES_BY_REFERENCE = {
    None: (r"$\eta$", r"$\phi$"),
    "leading_jet": (r"$\eta \cdot$ sign $\eta_{j_\mathrm{1}}$", r"$\phi - \phi_{j_\mathrm{1}}$"),
    "missing_et": (
        r"$\eta \cdot$ sign $\eta_{j_\mathrm{1}}$",
        rf"$\phi - \phi({MISSING_PT})$",
    ),
}


@styled
def average_images(
    images: Mapping[str, np.ndarray],
    processes: Mapping[str, Mapping[str, str]],
    *,
    eta_range: tuple[float, float],
    sqrt_s_tev: float,
    reference: str | None = None,
) -> Figure:
    """Draw the mean transverse energy in each pixel, one panel a process.

    All panels share one logarithmic colour scale of four decades; pixels below it have its
    darkest colour, pixels that no event filled are white.

    Parameters
    ----------
    images : mapping
        Mean over events of ΣE_T in GeV by process: float, shape (eta_bins, phi_bins), without
        the periodic padding; φ runs from −π to π.
    processes : mapping
        The block ``processes`` of the study.
    eta_range : tuple of float
        Ends of the η axis.
    sqrt_s_tev : float
        Centre-of-mass energy in TeV.
    reference : str, optional
        What the images were rotated to: ``leading_jet`` or ``missing_et``.

    Raises
    ------
    ConfigError
        The reference or a process is unknown.
    InputError
        No image has an entry, or their shapes differ.
    """
    if reference not in AXES_BY_REFERENCE:
        raise ConfigError(
            f"images: reference {reference!r} is unknown; "
            f"use one of {[name for name in AXES_BY_REFERENCE if name]}"
        )
    styles = {name: process_style(processes, name) for name in images}
    names = [name for name in processes if name in images]
    if len({images[name].shape for name in names}) != 1:
        shapes = {name: images[name].shape for name in names}
        raise InputError(f"average images: shapes {shapes} differ or are none; make them anew")
    peak = max(images[name].max() for name in names)
    if peak <= 0:
        raise InputError("average images: no pixel has energy; make the images anew")
    norm = LogNorm(peak * 10.0**-DECADES, peak)

    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(height=1.0 + 2.75 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat[: len(names)])
    for place, (panel, name) in enumerate(zip(panels, names, strict=True)):
        pixels = np.ma.masked_less_equal(images[name].T, 0)
        shown = panel.imshow(
            np.ma.maximum(pixels, norm.vmin),
            origin="lower",
            extent=(*eta_range, -np.pi, np.pi),
            aspect="auto",
            interpolation="nearest",
            norm=norm,
            cmap="viridis",
        )
        panel.set_yticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
        panel.set_yticks(np.arange(-3, 4) * np.pi / 4, minor=True)
        panel.tick_params(which="both", direction="out", top=False, right=False)
        panel.tick_params(labelbottom=place + columns >= len(names))
        panel.annotate(
            styles[name]["label"],
            (0.04, 0.95),
            xycoords="axes fraction",
            va="top",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none"},
        )
    for panel in grid.flat[len(names) :]:
        panel.remove()
    x_label, y_label = AXES_BY_REFERENCE[reference]
    figure.supxlabel(x_label, fontsize=16)
    figure.supylabel(f"{y_label} [rad]", fontsize=16)
    figure.colorbar(shown, ax=panels, label=r"Mean $\mathrm{\Sigma}E_\mathrm{T}$ per pixel [GeV]")
    stamp(grid[0, 0], sqrt_s_tev)
    if columns > 1:
        energy = grid[0, 0].get_title(loc="right")
        grid[0, 0].set_title("", loc="right")
        grid[0, -1].set_title(energy, loc="right")
    return figure
