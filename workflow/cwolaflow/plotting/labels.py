"""What the variables, analyses and cuts are called on axes and in legends."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cwolaflow.errors import ConfigError

MISSING_PT = r"p_\mathrm{T}^\mathrm{miss}"


@dataclass(frozen=True)
class Variable:
    """One column of an event table as it is drawn.

    Attributes
    ----------
    column : str
        Name of the column.
    label : str
        Axis label without the unit.
    unit : str
        Unit; empty for a pure number.
    low, high : float
        Ends of the axis, in the unit.
    bins : int
        Number of bins of equal width.
    """

    column: str
    label: str
    unit: str
    low: float
    high: float
    bins: int

    @property
    def edges(self) -> np.ndarray:
        """Bin edges, float64, shape (bins + 1,)."""
        return np.linspace(self.low, self.high, self.bins + 1)

    @property
    def axis_label(self) -> str:
        """Label with the unit in brackets."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    @property
    def count_label(self) -> str:
        """Label of an axis that counts events in these bins."""
        width = f"{(self.high - self.low) / self.bins:.3g}"
        return f"Events / {width} {self.unit}".rstrip()


_KINEMATIC = (
    Variable("delta_eta_jj", r"$|\mathrm{\Delta}\eta_{jj}|$", "", 1, 9, 20),
    Variable("delta_phi_jj", r"$|\mathrm{\Delta}\phi_{jj}|$", "rad", 0, 1.5, 15),
    Variable("m_jj", r"$m_{jj}$", "GeV", 200, 4000, 19),
    Variable("missing_et", f"${MISSING_PT}$", "GeV", 200, 1000, 20),
    Variable("missing_et_phi", rf"$\phi({MISSING_PT})$", "rad", -np.pi, np.pi, 20),
    Variable(
        "delta_phi_met_j1",
        rf"$|\mathrm{{\Delta}}\phi({MISSING_PT},\, j_\mathrm{{1}})|$",
        "rad",
        0.5,
        np.pi,
        20,
    ),
    Variable(
        "delta_phi_met_j2",
        rf"$|\mathrm{{\Delta}}\phi({MISSING_PT},\, j_\mathrm{{2}})|$",
        "rad",
        0.5,
        np.pi,
        20,
    ),
    Variable(
        "delta_phi_met_jj",
        rf"$|\mathrm{{\Delta}}\phi({MISSING_PT},\, j_\mathrm{{1}}\!+\!j_\mathrm{{2}})|$",
        "rad",
        0,
        np.pi,
        20,
    ),
)
_ETA_CUTS = (100, 127, 153, 180, 207, 233, 260, 287, 313, 340, 367, 393, 420, 447, 473, 500)
_RADIATION = tuple(
    Variable(f"ht_eta_{cut}", rf"$H_\mathrm{{T}}(|\eta| <$ {cut / 100:g})", "GeV", 0, 2000, 20)
    for cut in _ETA_CUTS
)
_JETS = tuple(
    variable
    for n in (1, 2)
    for variable in (
        Variable(f"jet{n}_pt", rf"$p_\mathrm{{T}}(j_\mathrm{{{n}}})$", "GeV", 0, 1000, 25),
        Variable(f"jet{n}_eta", rf"$\eta(j_\mathrm{{{n}}})$", "", -5, 5, 20),
        Variable(f"jet{n}_phi", rf"$\phi(j_\mathrm{{{n}}})$", "rad", -np.pi, np.pi, 20),
    )
)
_VBF = (
    *(
        variable
        for n in (1, 2)
        for variable in (
            Variable(f"jet{n}_abs_eta", rf"$|\eta(j_\mathrm{{{n}}})|$", "", 0, 5, 20),
            Variable(
                f"jet{n}_n_constituents", rf"Constituents of $j_\mathrm{{{n}}}$", "", 0, 60, 30
            ),
            Variable(f"jet{n}_girth", rf"Girth of $j_\mathrm{{{n}}}$", "", 0, 0.4, 20),
        )
    ),
    Variable("eta_sign_jj", r"Sign of $\eta(j_\mathrm{1})\,\eta(j_\mathrm{2})$", "", -1.5, 1.5, 3),
    Variable("n_further_jets", "Further jets", "", -0.5, 8.5, 9),
    Variable("further_jets_pt", r"$\Sigma p_\mathrm{T}$(further jets)", "GeV", 0, 500, 20),
    Variable("n_central_jets", "Central jets", "", -0.5, 8.5, 9),
    Variable("central_jets_pt", r"$\Sigma p_\mathrm{T}$(central jets)", "GeV", 0, 500, 20),
    Variable("higgs_pt", r"$p_\mathrm{T}^\mathrm{H}$", "GeV", 0, 500, 20),
    Variable(
        "higgs_centrality",
        r"$|\eta_\mathrm{H} - (\eta(j_\mathrm{1}) + \eta(j_\mathrm{2}))/2|$",
        "",
        0,
        5,
        20,
    ),
    Variable(
        "delta_phi_higgs_jj",
        r"$|\mathrm{\Delta}\phi(\mathrm{H},\, j_\mathrm{1}\!+\!j_\mathrm{2})|$",
        "rad",
        0,
        np.pi,
        20,
    ),
    Variable(
        "pt_balance",
        r"$|\Sigma\vec{p}_\mathrm{T}|\,/\,\Sigma p_\mathrm{T}$ of $\mathrm{H}jj$",
        "",
        0,
        1,
        20,
    ),
)

VARIABLES: Mapping[str, Variable] = {
    item.column: item for item in (*_KINEMATIC, *_RADIATION, *_JETS, *_VBF)
}
"""What of the event table can be drawn, by column name; ranges suit the invisible-Higgs cuts."""

ANALYSES: Mapping[str, str] = {
    "m_jj": r"$m_{jj}$",
    "delta_eta_jj": r"$|\mathrm{\Delta}\eta_{jj}|$",
    "ann_k": "ANN (kinematic)",
    "ann_r": "ANN (radiation)",
    "ann_h": "ANN (high-level)",
    "cnn_pj_lr": r"CNN ($P_J$, LR)",
    "cnn_pj_hr": r"CNN ($P_J$, HR)",
    "cnn_pmet_lr": r"CNN ($P_\mathrm{miss}$, LR)",
    "cnn_pmet_hr": r"CNN ($P_\mathrm{miss}$, HR)",
    "cnn_pj_lr_pu20": r"CNN ($P_J$, LR, $\mathrm{\mu}$ = 20)",
    "cnn_pj_lr_pu50": r"CNN ($P_J$, LR, $\mathrm{\mu}$ = 50)",
    "cnn_pj_hr_pu20": r"CNN ($P_J$, HR, $\mathrm{\mu}$ = 20)",
    "cnn_pj_hr_pu50": r"CNN ($P_J$, HR, $\mathrm{\mu}$ = 50)",
    "cnn": "CNN",
    "bdt": "BDT",
    "jet_cnn": "Jet CNN",
    "bdt_jet_cnn": "BDT with jet CNN",
    "part": "ParT",
}
SUPERVISIONS: Mapping[str, str] = {
    "none": "",
    "supervised": "supervised",
    "cwola": "CWoLa",
    "transfer": "transferred",
}
PARAMETERS: Mapping[str, str] = {"br_hinv": r"BR(h$\to$inv)"}


def feature_variable(column: str) -> Variable:
    """Look up how a column of the event table is drawn.

    Raises
    ------
    ConfigError
        The column is none of ``VARIABLES``.
    """
    if column not in VARIABLES:
        raise ConfigError(
            f"plots: features: {column!r} cannot be drawn; choose from {sorted(VARIABLES)}"
        )
    return VARIABLES[column]


def score_variable(scores: np.ndarray, bins: int = 20) -> Variable:
    """Give the classifier score in bins of equal width over the range that the scores fill.

    The scores of weakly supervised networks may all lie close to one half, so that bins from 0 to
    1 would show nothing.

    Parameters
    ----------
    scores : numpy.ndarray
        Float, in [0, 1], not empty.
    bins : int
        Number of bins.
    """
    low, high = float(np.min(scores)), float(np.max(scores))
    if high > low:
        step = 10 ** np.floor(np.log10(high - low))
        low = max(step * np.floor(low / step), 0.0)
        high = min(step * np.ceil(high / step), 1.0)
    else:
        low, high = 0.0, 1.0
    return Variable("score", "Classifier score", "", float(low), float(high), bins)


def supervision_label(supervision: str) -> str:
    """Name a way of training; a variant ``cwola_control`` is CWoLa (control)."""
    kind, _, variant = supervision.partition("_")
    name = SUPERVISIONS.get(kind, kind)
    return f"{name} ({variant.replace('_', ' ')})" if variant else name


def analysis_label(analysis: str, supervision: str = "none") -> str:
    """Name an analysis and how it was trained; a name that the studies made up stays as it is."""
    name = ANALYSES.get(analysis, analysis.replace("_", " "))
    training = supervision_label(supervision)
    return f"{name}, {training}" if training else name


def network_label(classifier: str, decay_products: str, augmentation: str) -> str:
    """Name a network, what it sees of the decay products, and its augmentation."""
    return ", ".join(
        filter(None, [analysis_label(classifier), variant_label(decay_products, augmentation)])
    )


def variant_label(decay_products: str, augmentation: str) -> str:
    """Name what a network sees of the decay products, and its augmentation."""
    parts = [f"{decay_products} decay products"] if decay_products else []
    return ", ".join(parts if augmentation == "none" else [*parts, augmentation])


def parameter_label(parameter: str) -> str:
    """Name the parameter of interest of a fit."""
    return PARAMETERS.get(parameter, parameter.replace("_", " "))


def process_style(processes: Mapping[str, Mapping[str, str]], process: str) -> Mapping[str, str]:
    """Look up role, label and colour of a process.

    Parameters
    ----------
    processes : mapping
        The block ``processes`` of the study.
    process : str
        Its key.

    Raises
    ------
    ConfigError
        The study does not have the process.
    """
    if process not in processes:
        raise ConfigError(
            f"processes: {process!r} is in the events but not in the study; "
            f"add it to {sorted(processes)}"
        )
    return processes[process]
