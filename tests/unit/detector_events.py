"""Hand-made and toy generator events for the tests of the detector."""

from pathlib import Path

import numpy as np

from cwolaflow.production.detector import GeneratorEvents

CARD = Path(__file__).parents[2] / "resources" / "detector" / "cms.yaml"


def particle(pid, pt, eta=0.0, phi=0.0, m=0.0, status=1, mother=-1, vertex=(0, 0, 0, 0)):
    """One generator particle."""
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    x, y, z, t = vertex
    return {
        "pid": pid,
        "status": status,
        "mother": mother,
        "px": px,
        "py": py,
        "pz": pz,
        "e": np.sqrt(px**2 + py**2 + pz**2 + m**2),
        "m": m,
        "x": x,
        "y": y,
        "z": z,
        "t": t,
    }


def make_events(*events):
    """GeneratorEvents from lists of `particle`."""
    flat = [entry for event in events for entry in event]
    columns = {
        name: np.array(
            [entry[name] for entry in flat],
            dtype=np.int64 if name in ("pid", "status", "mother") else np.float64,
        )
        for name in particle(22, 1)
    }
    offsets = np.cumsum([0, *(len(event) for event in events)])
    return GeneratorEvents(offsets, **columns, weight=np.ones(len(events)))


def toy_events(count, seed, rotation=0.0):
    """Events of 60 soft particles and two jets of 15 particles, back to back in phi."""
    rng = np.random.default_rng(seed)
    ids = np.array([211, -211, 22, 22, 130, 321, -321, 2212, 2112, 11, -13])
    masses = np.array([0.14, 0.14, 0, 0, 0.498, 0.494, 0.494, 0.938, 0.94, 0.000511, 0.106])
    shape = (count, 90)
    kind = rng.choice(
        len(ids), shape, p=[0.2, 0.2, 0.2, 0.2, 0.05, 0.04, 0.04, 0.03, 0.03, 0.005, 0.005]
    )
    pt = rng.exponential(0.7, shape)
    eta = rng.uniform(-5, 5, shape)
    phi = rng.uniform(-np.pi, np.pi, shape)
    for jet in (0, 1):
        members = np.arange(60 + 15 * jet, 75 + 15 * jet)
        pt[:, members] = rng.exponential(6, (count, 15))
        eta[:, members] = rng.uniform(-3, 3, (count, 1)) + rng.normal(0, 0.1, (count, 15))
        if jet == 0:
            axis = rng.uniform(-np.pi, np.pi, (count, 1))
        phi[:, members] = axis + np.pi * jet + rng.normal(0, 0.1, (count, 15))
    phi = phi + rotation
    flat_pt, flat_eta, flat_phi, flat_m = (a.ravel() for a in (pt, eta, phi, masses[kind]))
    zeros = np.zeros(flat_pt.size)
    return GeneratorEvents(
        offsets=np.arange(count + 1) * shape[1],
        pid=ids[kind].ravel(),
        status=np.ones(flat_pt.size, np.int64),
        mother=np.full(flat_pt.size, -1),
        px=flat_pt * np.cos(flat_phi),
        py=flat_pt * np.sin(flat_phi),
        pz=flat_pt * np.sinh(flat_eta),
        e=np.hypot(flat_pt * np.cosh(flat_eta), flat_m),
        m=flat_m,
        x=zeros,
        y=zeros,
        z=zeros,
        t=zeros,
        weight=np.ones(count),
    )
