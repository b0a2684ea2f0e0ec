"""The preprocessing of arXiv:2511.18726, one event and one step at a time, for comparison."""

import numpy as np

PI = np.pi
N_SLOTS = {"photons": 402, "leptons": 404}


def wrap(phi):
    return (phi + PI) % (2 * PI) - PI


def preprocess(event, slots=None):
    """Give the (pt, eta, phi, kind) of an event, a list of such, in its frame."""
    event = [(pt, eta, wrap(phi), kind) for pt, eta, phi, kind in event]
    filled = [phi for _, _, phi, _ in event]
    if slots is not None:
        filled += [0.0] * (slots - len(event))
    if np.var(filled) > 0.5:
        event = [(pt, eta, wrap(phi + PI), kind) for pt, eta, phi, kind in event]
    centre = sum(pt * phi for pt, _, phi, _ in event) / (sum(pt for pt, *_ in event) + 1e-8)
    event = [(pt, eta, wrap(phi - centre), kind) for pt, eta, phi, kind in event]
    sums = [0.0] * 4
    for pt, eta, phi, _ in event:
        for number, (eta_sign, phi_sign) in enumerate([(1, 1), (1, -1), (-1, -1), (-1, 1)]):
            if eta * eta_sign > 0 and phi * phi_sign > 0:
                sums[number] += pt
    hardest = sums.index(max(sums)) + 1
    phi_sign = -1 if hardest in (2, 3) else 1
    eta_sign = -1 if hardest in (3, 4) else 1
    return [(pt, eta * eta_sign, phi * phi_sign, kind) for pt, eta, phi, kind in event]


def remove_decay_products(event):
    products = [particle for particle in event if particle[3] == 2]
    return [
        (pt, eta, phi, kind)
        for pt, eta, phi, kind in event
        if kind != 2
        and not any(abs(phi - p[2]) < PI / 40 and abs(eta - p[1]) < 5 / 40 for p in products)
    ]


def features(event, n_kinds):
    """Give one row (standardised pt, eta, phi, one-hot kind) a particle."""
    rows = []
    for pt, eta, phi, kind in event:
        same = [other[0] for other in event if other[3] == kind]
        std = np.std(same)
        standardised = (pt - np.mean(same)) / std if len(same) > 1 else 0.0
        rows.append([standardised, eta, phi, *(float(kind == k) for k in range(n_kinds))])
    return np.array(rows).reshape(-1, 3 + n_kinds)


def image(event, n_channels=3, is_clipped=True):
    """Give the pixels of 40 × 40 in GeV, η of ±5."""
    pixels = np.zeros((n_channels, 40, 40))
    for pt, eta, phi, kind in event:
        if abs(eta) > 5 and not is_clipped:
            continue
        row = min(max(int(np.floor((eta + 5) / 0.25)), 0), 39)
        column = min(max(int(np.floor((phi + PI) / (PI / 20))), 0), 39)
        pixels[kind, row, column] += pt
    return pixels


def darken(pixels):
    towers_and_tracks = pixels[:2].copy()
    towers_and_tracks[:, pixels[2] > 0] = 0
    return towers_and_tracks


def standardise(pixels):
    return np.array([(p - p.mean()) / max(p.std(), 1e-8) for p in pixels])


def random_events(n_events, seed):
    """Events with two photons, each of which has a tower too.

    Returns
    -------
    skims : list of dict
        Columns of a skim of each event.
    events : list of list
        The same events as `preprocess` takes them.
    """
    rng = np.random.default_rng(seed)
    skims, events = [], []
    for _ in range(n_events):
        axis, width = rng.uniform(-PI, PI), rng.uniform(0.2, 2)
        numbers = {"tower": rng.integers(2, 30), "track": rng.integers(0, 20), "photon": 2}
        skim, event = {}, []
        for kind, (name, number) in enumerate(numbers.items()):
            pt = rng.exponential(10, number)
            eta, phi = rng.uniform(-6, 6, number), wrap(rng.normal(axis, width, number))
            if name == "photon":
                pt = np.sort(pt)[::-1]
                eta, phi = skim["tower_eta"][:number], skim["tower_phi"][:number]
            columns = [np.asarray(c, np.float32).tolist() for c in (pt, eta, phi)]
            names = ("et" if name == "tower" else "pt", "eta", "phi")
            skim |= {f"{name}_{key}": c for key, c in zip(names, columns, strict=True)}
            event += zip(*columns, [kind] * number, strict=True)
        skims.append(skim)
        events.append(event)
    return skims, events
