"""Names of the high-level features by group: K and R of arXiv:2008.05434, and VBF."""

import numpy as np

KINEMATIC = (
    "delta_eta_jj",
    "delta_phi_jj",
    "m_jj",
    "missing_et",
    "missing_et_phi",
    "delta_phi_met_j1",
    "delta_phi_met_j2",
    "delta_phi_met_jj",
)

RADIATION_ETA_MAX = np.array(
    [1, 1.27, 1.53, 1.8, 2.07, 2.33, 2.6, 2.87, 3.13, 3.4, 3.67, 3.93, 4.2, 4.47, 4.73, 5]
)
"""The limits η_C of H_T(η_C)."""

RADIATION = tuple(f"ht_eta_{round(100 * eta_max)}" for eta_max in RADIATION_ETA_MAX)

FEATURE_GROUPS: dict[str, tuple[str, ...]] = {
    "kinematic": KINEMATIC,
    "radiation": RADIATION,
    "vbf_jets": (
        "m_jj",
        "delta_eta_jj",
        "delta_phi_jj",
        "jet1_pt",
        "jet2_pt",
        "jet1_abs_eta",
        "jet2_abs_eta",
        "eta_sign_jj",
        "n_further_jets",
        "further_jets_pt",
        "n_central_jets",
        "central_jets_pt",
        "jet1_n_constituents",
        "jet2_n_constituents",
        "jet1_girth",
        "jet2_girth",
    ),
    "vbf_higgs": ("higgs_pt", "higgs_centrality", "delta_phi_higgs_jj", "pt_balance"),
}
"""Names of the features by group; in GeV and rad. Every event table has the first two groups."""
