"""Settings of the hidden-valley benchmarks: dark mesons at a confinement scale."""

import math

from cwolaflow.errors import ConfigError

DECAYS = ("indirect", "direct")
_FLAVOURS = 3
_SHOWER_CUTOFF = 1.1


def dark_jet_settings(dark_scale: float, decay: str) -> dict[str, str]:
    """PYTHIA settings of one benchmark of arXiv:2312.06152 (card ``dark_jets.cmnd``).

    Masses follow the lattice fits of arXiv:2203.09503, section 4.1, in units of the scale:
    m_rho = sqrt(5.76 + 1.5 m_pi^2), m_pi = 5.5 sqrt(m_q), and constituent quarks have m_q + 1.

    Parameters
    ----------
    dark_scale : float
        Confinement scale in GeV.
    decay : {"indirect", "direct"}
        ``indirect``: rho to two pions, and pions (m_pi = 1) to d quarks; ``direct``: both to d
        quarks (m_pi = 1.8: a rho is lighter than two pions).

    Returns
    -------
    dict
        Settings as `Generator` takes them.

    Raises
    ------
    ConfigError
        An unknown decay, or a scale at which a pion is too light for two d quarks.
    """
    if decay not in DECAYS:
        raise ConfigError(f"decay: no '{decay}'; take one of {', '.join(DECAYS)}")
    if not dark_scale >= 1:
        raise ConfigError(f"dark_scale: {dark_scale} GeV is too low to decay to quarks; take >= 1")
    pion = 1.0 if decay == "indirect" else 1.8
    rho = math.sqrt(5.76 + 1.5 * pion**2)
    quark = 1 + (pion / 5.5) ** 2
    settings = {
        "HiddenValley:Lambda": f"{dark_scale:g}",
        "HiddenValley:pTminFSR": f"{_SHOWER_CUTOFF * dark_scale:g}",
    }
    for flavour in range(1, _FLAVOURS + 1):
        settings[f"490010{flavour}:m0"] = f"{quark * dark_scale:.6g}"
        for other in range(1, flavour + 1):
            settings |= _meson(f"4900{flavour}{other}1", pion * dark_scale, "91 1 -1")
            to_pions = "91 4900211 -4900211" if flavour == other else "91 4900211 4900111"
            rho_decay = to_pions if decay == "indirect" else "91 1 -1"
            settings |= _meson(f"4900{flavour}{other}3", rho * dark_scale, rho_decay)
    return settings


def _meson(pid: str, mass: float, decay: str) -> dict[str, str]:
    return {
        f"{pid}:m0": f"{mass:.6g}",
        f"{pid}:oneChannel": f"1 1.0 {decay}",
        f"{pid}:mayDecay": "on",
    }
