"""How well the parametrised detector agrees with Delphes on identical generator events.

The input folder holds, for each sample, ``NAME.generator.parquet`` (generator events),
``NAME.root`` (what Delphes made of them) and ``NAME_seed*.root`` (the same with other random
numbers of its own: the yardstick). Writes a table of targets (``closure.csv``), how far each of
many more quantities lies from our mean (``deviations.csv``), and plots. Exit status 1 if a target
is missed. Where a target is tighter than the difference of the two Delphes runs, that difference
counts, and for efficiencies twice the statistical error; column ``by`` says which one was needed.
"""

import argparse
import sys
import time
from pathlib import Path

import awkward as ak
import matplotlib as mpl
import numpy as np
import pandas as pd
import uproot
from scipy.stats import ks_2samp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from cwolaflow.production.detector import read_card, read_generator_events, simulate
from cwolaflow.production.detector.jets import Jets, parton_flavour
from cwolaflow.production.detector.propagation import propagate
from cwolaflow.representation.feature_groups import FEATURE_GROUPS, RADIATION_ETA_MAX

mpl.use("Agg")
import matplotlib.pyplot as plt

FIELDS = {
    "Jet": ("PT", "Eta", "Phi", "Mass", "Flavor", "BTag", "TauTag"),
    "Tower": ("ET", "Eta"),
    "Track": ("PT", "Eta", "Phi", "PID", "D0", "XOuter", "YOuter", "ZOuter", "L"),
    "Electron": ("PT", "Eta"),
    "Muon": ("PT", "Eta"),
    "Photon": ("PT", "Eta"),
    "MissingET": ("MET", "Phi"),
    "ScalarHT": ("HT",),
}
KINEMATIC, RADIATION = FEATURE_GROUPS["kinematic"], FEATURE_GROUPS["radiation"]
MULTIPLICITIES = ("n_tower", "n_track", "n_jet")
DISTRIBUTIONS = {
    "missing_et": ("MET [GeV]", (0, 600)),
    "jet1_pt": ("leading jet $p_T$ [GeV]", (0, 600)),
    "jet1_eta": (r"leading jet $\eta$", (-5, 5)),
    "jet1_phi": (r"leading jet $\phi$", (-np.pi, np.pi)),
    "n_jet": ("jets above 30 GeV", (0, 10)),
    "m_jj": ("$m_{jj}$ [GeV]", (0, 3000)),
    "delta_eta_jj": (r"$|\Delta\eta_{jj}|$", (0, 9)),
    "n_tower": ("towers", (0, 250)),
    "n_track": ("tracks", (0, 150)),
    "ht_eta_100": (r"$H_T(\eta_C = 1)$ [GeV]", (0, 800)),
    "ht_eta_260": (r"$H_T(\eta_C = 2.6)$ [GeV]", (0, 1000)),
    "ht_eta_500": (r"$H_T(\eta_C = 5)$ [GeV]", (0, 1200)),
    "tower_et": ("tower $E_T$ [GeV]", (0, 20)),
    "track_pt": ("track $p_T$ [GeV]", (0, 20)),
}
EVENT_KINDS = [name for name in DISTRIBUTIONS if name not in ("tower_et", "track_pt")]
OWN_PAIRS = 20
REAL, YARDSTICK, OURS = "Delphes", "Delphes, other seed", "this detector"


def read_delphes(path: Path) -> dict[str, ak.Array]:
    """Collections of a Delphes file."""
    with uproot.open(path) as file:
        tree = file["Delphes"]
        return {
            name: ak.zip({field: tree[f"{name}.{field}"].array() for field in fields})
            for name, fields in FIELDS.items()
        }


def wrapped(phi):
    """Angle in [-pi, pi)."""
    return (phi + np.pi) % (2 * np.pi) - np.pi


def first(jets: ak.Array, rank: int, field: str) -> np.ndarray:
    """Field of the jet of this rank, NaN where there is none."""
    padded = ak.pad_none(jets[field], rank + 1, clip=True)[:, rank]
    return ak.to_numpy(ak.fill_none(padded, np.nan)).astype(np.float64)


def event_table(output: dict[str, ak.Array]) -> pd.DataFrame:
    """One row an event: what is compared, cut on and given to the BDT."""
    jets, towers = output["Jet"], output["Tower"]
    met = ak.to_numpy(output["MissingET"].MET[:, 0]).astype(np.float64)
    met_phi = ak.to_numpy(output["MissingET"].Phi[:, 0]).astype(np.float64)
    j1, j2 = ({f: first(jets, k, f) for f in ("PT", "Eta", "Phi", "Mass")} for k in (0, 1))
    momenta = []
    for jet in (j1, j2):
        p = jet["PT"] * np.cosh(jet["Eta"])
        momenta.append(
            np.stack(
                [
                    jet["PT"] * np.cos(jet["Phi"]),
                    jet["PT"] * np.sin(jet["Phi"]),
                    jet["PT"] * np.sinh(jet["Eta"]),
                    np.hypot(p, jet["Mass"]),
                ]
            )
        )
    pair = momenta[0] + momenta[1]
    near_met = jets[(jets.PT > 30) & (abs(jets.Eta) < 4.7)][:, :4]
    closest = ak.min(abs(wrapped(near_met.Phi - met_phi)), axis=1)
    columns = {
        "jet1_pt": j1["PT"],
        "jet2_pt": j2["PT"],
        "jet1_eta": j1["Eta"],
        "jet2_eta": j2["Eta"],
        "jet1_phi": j1["Phi"],
        "missing_et": met,
        "missing_et_phi": met_phi,
        "m_jj": np.sqrt(np.maximum(pair[3] ** 2 - (pair[:3] ** 2).sum(axis=0), 0)),
        "delta_eta_jj": np.abs(j1["Eta"] - j2["Eta"]),
        "delta_phi_jj": np.abs(wrapped(j1["Phi"] - j2["Phi"])),
        "delta_phi_met_j1": np.abs(wrapped(met_phi - j1["Phi"])),
        "delta_phi_met_j2": np.abs(wrapped(met_phi - j2["Phi"])),
        "delta_phi_met_jj": np.abs(wrapped(met_phi - np.arctan2(pair[1], pair[0]))),
        "min_delta_phi": ak.to_numpy(ak.fill_none(closest, np.inf)),
        "n_jet": count(jets, 30, 99),
        "n_tower": ak.to_numpy(ak.num(towers)),
        "n_track": ak.to_numpy(ak.num(output["Track"])),
        "n_electron": count(output["Electron"], 10, 2.5),
        "n_muon": count(output["Muon"], 10, 2.4),
        "n_photon": count(output["Photon"], 15, 2.5),
        "n_tau": count(jets[jets.TauTag == 1], 18, 2.3),
        "n_b": count(jets[jets.BTag == 1], 20, 2.5),
        "scalar_ht": ak.to_numpy(output["ScalarHT"].HT[:, 0]),
    }
    for cut, name in zip(RADIATION_ETA_MAX, RADIATION, strict=True):
        columns[name] = ak.to_numpy(ak.sum(towers.ET[abs(towers.Eta) < cut], axis=1))
    return pd.DataFrame(columns)


def count(objects: ak.Array, pt_min: float, abs_eta_max: float) -> np.ndarray:
    """Objects of an event above a pt and within |eta|."""
    return ak.to_numpy(ak.sum((pt_min < objects.PT) & (abs(objects.Eta) < abs_eta_max), axis=1))


def cutflow(table: pd.DataFrame) -> pd.DataFrame:
    """Which events pass, cumulatively, the cuts of the VBF h -> invisible pre-selection."""
    t = table
    cuts = {
        "jet_pt": (t.jet1_pt > 80) & (t.jet2_pt > 40),
        "lepton_photon_veto": (t.n_electron + t.n_muon + t.n_photon) == 0,
        "tau_veto": t.n_tau == 0,
        "b_veto": t.n_b == 0,
        "missing_et": t.missing_et > 200,
        "min_delta_phi_met_jet": t.min_delta_phi > 0.5,
        "jet_eta": (t.jet1_eta.abs() < 4.7)
        & (t.jet2_eta.abs() < 4.7)
        & ((t.jet1_eta.abs() < 3) | (t.jet2_eta.abs() < 3)),
        "opposite_hemispheres": t.jet1_eta * t.jet2_eta < 0,
        "delta_phi_jj": t.delta_phi_jj < 1.5,
        "delta_eta_jj": t.delta_eta_jj > 1,
        "m_jj": t.m_jj > 200,
    }
    return pd.DataFrame(cuts).cumprod(axis=1).astype(bool)


def matched_jets(reference: dict, other: dict) -> pd.DataFrame:
    """Jets of ``reference`` above 30 GeV with the nearest jet of ``other`` within 0.2."""
    pairs = ak.cartesian({"a": reference["Jet"], "b": other["Jet"]}, nested=True)
    distance = np.hypot(pairs.a.Eta - pairs.b.Eta, wrapped(pairs.a.Phi - pairs.b.Phi))
    best = ak.flatten(pairs[ak.argmin(distance, axis=2, keepdims=True)], axis=2)
    near = ak.fill_none(
        np.hypot(best.a.Eta - best.b.Eta, wrapped(best.a.Phi - best.b.Phi)) < 0.2, False
    )
    best = best[near & ak.fill_none(best.a.PT > 30, False)]
    flat = {
        "pt": ak.flatten(best.a.PT),
        "ratio": ak.flatten(best.b.PT / best.a.PT),
    }
    return pd.DataFrame({name: ak.to_numpy(values) for name, values in flat.items()}).dropna()


def half_width(values: np.ndarray) -> float:
    """Half of the central 68.27% interval."""
    low, high = np.quantile(values, [0.15865, 0.84135])
    return (high - low) / 2


def bootstrap_error(values: np.ndarray, statistic, seed: int = 1, draws: int = 200) -> float:
    """Standard deviation of a statistic over resampled values."""
    rng = np.random.default_rng(seed)
    return float(np.std([statistic(rng.choice(values, len(values))) for _ in range(draws)], ddof=1))


def separation(tables: list[pd.DataFrame], others: list[pd.DataFrame], seed: int) -> float:
    """AUC of a BDT that tells two sets of simulations of the same events apart.

    Simulations of one event stay in one fold: otherwise the net sees the other class's version of
    its test events, which pulls the AUC below 0.5.
    """
    features = list(KINEMATIC + RADIATION + MULTIPLICITIES)
    parts = [table.assign(label=0, event=table.index) for table in tables]
    parts += [table.assign(label=1, event=table.index) for table in others]
    data = pd.concat(parts).dropna(subset=features)
    score = np.zeros(len(data))
    x, label = data[features].to_numpy(), data.label.to_numpy()
    for train, test in GroupKFold(5, shuffle=True, random_state=seed).split(x, label, data.event):
        model = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=8, learning_rate=0.05, random_state=seed
        )
        score[test] = model.fit(x[train], label[train]).predict_proba(x[test])[:, 1]
    return roc_auc_score(label, score)


def exit_point_distance(real: dict, generated, card) -> np.ndarray:
    """Distance in mm of each real track's exit point to that of its generator particle."""
    particles = propagate(generated, card.settings["particles"], card.settings["propagation"])
    charged = np.flatnonzero(particles.charge != 0)
    track = ak.flatten(real["Track"])
    event = np.repeat(np.arange(len(real["Track"])), ak.num(real["Track"]).to_numpy())
    # A track keeps the pseudorapidity of its particle; 100 an event keeps the events apart.
    key = 100.0 * particles.event[charged] + particles.eta[charged]
    order = np.argsort(key)
    wanted = 100.0 * event + ak.to_numpy(track.Eta).astype(np.float64)
    place = np.clip(np.searchsorted(key[order], wanted), 1, len(key) - 1)
    before = wanted - key[order][place - 1] < key[order][place] - wanted
    owner = charged[order[np.where(before, place - 1, place)]]
    return np.sqrt(
        (particles.exit_x[owner] - ak.to_numpy(track.XOuter)) ** 2
        + (particles.exit_y[owner] - ak.to_numpy(track.YOuter)) ** 2
        + (particles.exit_z[owner] - ak.to_numpy(track.ZOuter)) ** 2
    )


def same_flavour(real: dict, generated, card) -> float:
    """Share of Delphes' own jets to which our parton matching gives Delphes' flavour."""
    jets = real["Jet"]
    event = np.repeat(np.arange(len(jets)), ak.num(jets).to_numpy())
    pt, eta, phi, mass, flavour = (
        ak.to_numpy(ak.flatten(jets[name])).astype(np.float64)
        for name in ("PT", "Eta", "Phi", "Mass", "Flavor")
    )
    none = np.zeros(0, np.int64)
    theirs = Jets(
        event,
        pt * np.cos(phi),
        pt * np.sin(phi),
        pt * np.sinh(eta),
        np.hypot(pt * np.cosh(eta), mass),
        none,
        none,
    )
    return float(np.mean(parton_flavour(theirs, generated, card.settings["flavour"]) == flavour))


def deterministic_rows(real: dict, generated, card) -> list[dict]:
    """Targets of what draws no random number."""
    distance = exit_point_distance(real, generated, card)
    median, far = np.quantile(distance, [0.5, 0.999])
    same = same_flavour(real, generated, card)
    return [
        row("exit point of tracks, median distance [mm]", median, 0, 0, "< 0.01", median < 0.01),
        row("exit point of tracks, 99.9% below [mm]", far, 0, 0, "< 0.1", far < 0.1),
        row("flavour of Delphes' own jets, share equal", same, 1, 1, "> 0.999", same > 0.999),
    ]


def compare_responses(real: dict, yardstick: dict, ours: list[dict]) -> list[dict]:
    """Targets of jets matched within 0.2.

    Both widths are of a ratio of two independent smearings. That of the yardstick is known twice,
    by swapping the two Delphes runs.
    """
    mine = pd.concat([matched_jets(real, output) for output in ours])
    reference, swapped = matched_jets(real, yardstick), matched_jets(yardstick, real)
    rows = []
    for label, low, high in (
        ("all", 30, np.inf),
        ("30-60", 30, 60),
        ("60-150", 60, 150),
        (">150", 150, np.inf),
    ):
        a, b, c = (
            table.ratio[(table.pt > low) & (table.pt <= high)].to_numpy()
            for table in (mine, reference, swapped)
        )
        rows.append(
            target_row(
                f"jet pt ratio, median, pt {label}",
                np.median(a),
                1.0,
                np.median(b),
                0.01,
                bootstrap_error(b, np.median),
            )
        )
        widths = half_width(a), half_width(b), half_width(c)
        rows.append(
            target_row(
                f"jet pt ratio, width, pt {label}",
                widths[0],
                widths[1],
                widths[2],
                0.1,
                bootstrap_error(b, half_width),
            )
        )
    return rows


def compare_means(real, yardstick, ours: list[pd.DataFrame]) -> list[dict]:
    """Targets of means: MET 2%, multiplicities 5%, scalar HT like MET."""
    rows = []
    for name, tolerance in (
        ("missing_et", 0.02),
        ("n_tower", 0.05),
        ("n_track", 0.05),
        ("n_jet", 0.05),
        ("scalar_ht", 0.02),
    ):
        mine = np.array([table[name].mean() for table in ours])
        rows.append(
            target_row(
                f"mean {name}",
                mine.mean(),
                real[name].mean(),
                yardstick[name].mean(),
                tolerance,
                one_run_error(mine),
            )
        )
    return rows


def compare_efficiencies(real, yardstick, ours: list[pd.DataFrame]) -> list[dict]:
    """Targets of cumulative efficiencies: 5% relative, or 2 sigma of a run over these events."""
    a, b = cutflow(real), cutflow(yardstick)
    mine = [cutflow(table) for table in ours]
    rows = []
    for cut in a.columns:
        passed = np.array([flow[cut].mean() for flow in mine])
        rows.append(
            target_row(
                f"efficiency after {cut}",
                passed.mean(),
                a[cut].mean(),
                b[cut].mean(),
                0.05,
                one_run_error(passed),
                sigmas=2,
            )
        )
    return rows


def one_run_error(values: np.ndarray) -> float:
    """Error of the difference of one more run over the same events to the mean of these."""
    return float(np.std(values, ddof=1) * np.sqrt(1 + 1 / len(values)))


def missed_by_own_pairs(ours: list[tuple[dict, pd.DataFrame]], count: int) -> np.ndarray:
    """Missed targets when two of our own smearings stand for the two Delphes runs.

    Parameters
    ----------
    ours : list of (collections, event table)
        Smearings of the same events.
    count : int
        Pairs, all of different smearings.

    Returns
    -------
    int64 array, shape (count,)
        Of responses, means and efficiencies.
    """
    missed = []
    for first in range(0, 2 * count, 2):
        (a, a_table), (b, b_table) = ours[first : first + 2]
        others = ours[:first] + ours[first + 2 :]
        tables = [table for _, table in others]
        rows = [
            *compare_responses(a, b, [output for output, _ in others[:10]]),
            *compare_means(a_table, b_table, tables),
            *compare_efficiencies(a_table, b_table, tables),
        ]
        missed.append(sum(not entry["met"] for entry in rows))
    return np.array(missed)


def compare_shapes(real, yardstick, ours) -> list[dict]:
    """Kolmogorov-Smirnov p-values; the target is on how many of them are above 0.01."""
    rows, above = [], 0
    for name in DISTRIBUTIONS:
        mine, a, b = (values_of(simulation, name) for simulation in (ours, real, yardstick))
        p_ours, p_yardstick = ks_2samp(mine, a).pvalue, ks_2samp(b, a).pvalue
        rows.append(row(f"KS p {name}", p_ours, 1.0, p_yardstick, "", None))
        above += p_ours > 0.01
    share = above / len(rows)
    rows.append(row("KS p > 0.01, share", share, 1.0, 1.0, ">= 0.9", share >= 0.9))
    return rows


def values_of(simulation: tuple[dict, pd.DataFrame], name: str) -> np.ndarray:
    """Values of one of `DISTRIBUTIONS`."""
    output, table = simulation
    if name == "tower_et":
        return ak.to_numpy(ak.flatten(output["Tower"].ET))
    if name == "track_pt":
        return ak.to_numpy(ak.flatten(output["Track"].PT))
    return table[name].dropna().to_numpy()


def row(quantity, ours, real, yardstick, target, met) -> dict:
    """One line of the table; ``met`` is None where nothing is asked."""
    return {
        "quantity": quantity,
        "ours": float(ours),
        "delphes": float(real),
        "delphes_other_seed": float(yardstick),
        "target": target,
        "met": None if met is None else bool(met),
    }


def target_row(
    quantity: str,
    ours: float,
    real: float,
    yardstick: float,
    tolerance: float,
    error: float,
    sigmas: float = 0,
) -> dict:
    """One line that must agree with Delphes to a relative tolerance.

    The difference of the two Delphes runs counts where it is the larger one, and ``sigmas`` times
    the statistical error where the target allows for it. ``by`` says which one it took.
    """
    deviation, yardstick_deviation = abs(ours / real - 1), abs(yardstick / real - 1)
    allowed = {
        "target": tolerance,
        "two Delphes runs": yardstick_deviation,
        "statistics": sigmas * error / abs(real),
    }
    by = next((name for name, value in allowed.items() if deviation <= value), "")
    text = f"{100 * tolerance:g}%, or {100 * yardstick_deviation:.2g}% between Delphes runs"
    if sigmas:
        text += f", or {sigmas:g} x {100 * error / abs(real):.2g}%"
    return row(quantity, ours, real, yardstick, text, bool(by)) | {
        "error": float(error),
        "deviation_sigma": float((ours - real) / error),
        "by": by,
    }


def quantities(simulation: tuple[dict, pd.DataFrame]) -> pd.DataFrame:
    """Everything that is looked at, one row an event: means, rates and efficiencies."""
    output, table = simulation
    jets = output["Jet"]
    columns = {f"mean {name}": table[name].replace(np.inf, np.pi).fillna(0) for name in table}
    columns |= {f"efficiency after {name}": cut for name, cut in cutflow(table).items()}
    columns |= {f"rate of n_jet >= {k}": table.n_jet >= k for k in range(1, 7)}
    thresholds = (20, 30, 60, 150)
    for name, near in (("central", abs(jets.Eta) < 2.5), ("forward", abs(jets.Eta) >= 2.5)):
        above = [ak.to_numpy(ak.sum(near & (cut < jets.PT), axis=1)) for cut in thresholds] + [0]
        for number, cut in enumerate(thresholds):
            columns[f"{name} jets from {cut} GeV"] = above[number] - above[number + 1]
    for code, name in ((0, "no"), (21, "gluon"), (5, "b"), (4, "c"), (3, "s"), (2, "u"), (1, "d")):
        chosen = (jets.Flavor == code) & (jets.PT > 30)
        columns[f"jets of {name} flavour"] = ak.to_numpy(ak.sum(chosen, axis=1))
    for threshold in (1, 3, 10):
        for name, field in (("Tower", "ET"), ("Track", "PT")):
            seen = ak.sum(output[name][field] > threshold, axis=1)
            columns[f"{name} above {threshold} GeV"] = ak.to_numpy(seen)
    return pd.DataFrame(columns).astype(np.float64)


def look_elsewhere(real: list[pd.DataFrame], ours: list[pd.DataFrame]) -> tuple[pd.DataFrame, dict]:
    """Deviation of the Delphes runs from our mean, and how often two of our runs have a larger one.

    Parameters
    ----------
    real, ours : list of DataFrame
        `quantities` of the Delphes runs and of our smearings of the same events.

    Returns
    -------
    DataFrame
        ``sigma`` of each quantity.
    dict
        ``largest`` of them and their mean square, each with the share ``p_largest`` and ``p_mean``
        of pairs of our own smearings, held against all others, that reach it. Correlations of the
        quantities are in.
    """
    stack = np.stack([table.to_numpy() for table in ours])
    total = stack.sum(axis=0)

    def deviations(members: np.ndarray, others: np.ndarray) -> np.ndarray:
        difference = members.mean(axis=0) - others
        spread = difference.std(axis=0, ddof=1) / np.sqrt(len(difference))
        return np.divide(
            difference.mean(axis=0), spread, out=np.zeros(len(spread)), where=spread > 0
        )

    seen = deviations(np.stack([table.to_numpy() for table in real]), total / len(stack))
    pairs = [
        deviations(
            stack[[first, second]], (total - stack[first] - stack[second]) / (len(stack) - 2)
        )
        for second in range(len(stack))
        for first in range(second)
    ]
    largest = np.abs(pairs).max(axis=1)
    square = np.mean(np.square(pairs), axis=1)
    summary = {
        "quantities": len(seen),
        "largest": np.abs(seen).max(),
        "p_largest": np.mean(largest >= np.abs(seen).max()),
        "mean_square": np.mean(seen**2),
        "p_mean": np.mean(square >= np.mean(seen**2)),
    }
    table = pd.DataFrame(
        {
            "quantity": ours[0].columns,
            "ours": total.mean(axis=0) / len(stack),
            "delphes": np.mean([frame.mean() for frame in real], axis=0),
            "sigma": seen,
        }
    )
    return table.sort_values("sigma", key=np.abs, ascending=False), summary


def plot_distributions(path: Path, simulations: dict, title: str) -> None:
    """Histograms of all `DISTRIBUTIONS`, with the pull of each simulation to the first one."""
    columns = 5
    rows = -(-len(DISTRIBUTIONS) // columns)
    figure, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(4 * columns, 3.6 * rows),
        gridspec_kw={"height_ratios": [3, 1] * rows},
        layout="constrained",
    )
    styles = {REAL: ("black", "-"), YARDSTICK: ("#717581", "--"), OURS: ("#e42536", "-")}
    for number, (name, (label, interval)) in enumerate(DISTRIBUTIONS.items()):
        line, column = divmod(number, columns)
        top, bottom = axes[2 * line, column], axes[2 * line + 1, column]
        bins = np.arange(-0.5, 10) if name == "n_jet" else np.linspace(*interval, 25)
        reference = None
        for simulation, outputs in simulations.items():
            values = values_of(outputs, name)
            heights = np.histogram(values, bins)[0].astype(float)
            reference = heights if reference is None else reference
            colour, dashes = styles[simulation]
            top.stairs(heights, bins, color=colour, linestyle=dashes, label=simulation)
            pull = (heights - reference) / np.sqrt(np.maximum(heights + reference, 1))
            bottom.stairs(pull, bins, color=colour, linestyle=dashes)
        if name in ("tower_et", "track_pt"):
            top.set_yscale("log")
        bottom.set(xlabel=label, ylim=(-4, 4))
        top.tick_params(labelbottom=False)
    axes[0, 0].legend(fontsize=8)
    axes[0, 0].set_ylabel("entries")
    axes[1, 0].set_ylabel("pull")
    for number in range(len(DISTRIBUTIONS), rows * columns):
        line, column = divmod(number, columns)
        axes[2 * line, column].axis("off")
        axes[2 * line + 1, column].axis("off")
    figure.suptitle(title)
    save(figure, path)


def plot_response(path: Path, real: dict, yardstick: dict, ours: dict, title: str) -> None:
    """Jet response and MET difference against the first Delphes run, event by event."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for label, other, colour in ((YARDSTICK, yardstick, "#717581"), (OURS, ours, "#e42536")):
        ratio = matched_jets(real, other).ratio
        left.hist(
            ratio,
            np.linspace(0.4, 1.6, 49),
            density=True,
            histtype="step",
            color=colour,
            label=f"{label}: median {ratio.median():.3f}, width {half_width(ratio):.3f}",
        )
        shift = ak.to_numpy((other["MissingET"].MET - real["MissingET"].MET)[:, 0])
        right.hist(
            shift,
            np.linspace(-80, 80, 41),
            density=True,
            histtype="step",
            color=colour,
            label=f"{label}: rms {np.std(shift):.1f} GeV",
        )
    left.set(xlabel="jet $p_T$ / jet $p_T$ of Delphes", ylabel="density", title=title)
    right.set(xlabel="MET − MET of Delphes [GeV]")
    for axis in (left, right):
        axis.legend(fontsize=7, loc="upper left")
        axis.set_ylim(top=1.3 * axis.get_ylim()[1])
    save(figure, path)


def save(figure, path: Path) -> None:
    """Write PDF and PNG."""
    for suffix in (".pdf", ".png"):
        figure.savefig(path.with_suffix(suffix), dpi=110)
    plt.close(figure)


def load_sample(folder: Path, name: str, card, smearings: int, seed: int):
    """Both real runs and ours, as (collections, event table), and the events per second."""
    generated = next(read_generator_events(folder / f"{name}.generator.parquet", 1_000_000))
    others = sorted(folder.glob(f"{name}_seed*.root"))
    if not others:
        sys.exit(f"{folder}: no {name}_seed*.root; the second Delphes run is the yardstick")
    started = time.process_time()
    ours = [simulate(generated, card, seed + k) for k in range(smearings)]
    rate = smearings * len(generated) / (time.process_time() - started)
    outputs = [read_delphes(folder / f"{name}.root"), read_delphes(others[0]), *ours]
    return generated, [(output, event_table(output)) for output in outputs], rate


def main() -> int:
    """Compare all samples of the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the closure files")
    parser.add_argument("--card", type=Path, default=Path("resources/detector/cms.yaml"))
    parser.add_argument("--output", type=Path, default=Path("results/detector_closure"))
    parser.add_argument("--smearings", type=int, default=40, help="own runs over the same events")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    card = read_card(options.card)
    options.output.mkdir(parents=True, exist_ok=True)
    names = sorted(
        path.name.removesuffix(".generator.parquet")
        for path in options.folder.glob("*.generator.parquet")
    )
    if not names:
        sys.exit(f"{options.folder}: no *.generator.parquet; give the folder of closure files")
    rows, pooled, elsewhere = [], [], []
    for name in names:
        generated, simulations, rate = load_sample(
            options.folder, name, card, options.smearings, options.seed
        )
        (real, real_table), (other, other_table), *ours = simulations
        tables = [table for _, table in ours]
        pooled.append([table.assign(sample=name) for _, table in simulations])
        entries = [
            row("events/s of one core", rate, 110, 110, ">= 330", rate >= 330),
            *deterministic_rows(real, generated, card),
            *compare_responses(real, other, [output for output, _ in ours]),
            *compare_means(real_table, other_table, tables),
            *compare_efficiencies(real_table, other_table, tables),
            *compare_shapes(simulations[0], simulations[1], simulations[2]),
        ]
        rows += [{"sample": name, **entry} for entry in entries]
        looked_at = [quantities(simulation) for simulation in simulations]
        deviations, summary = look_elsewhere(looked_at[:2], looked_at[2:])
        elsewhere.append(deviations.assign(sample=name))
        print(name, deviations.head(8).to_string(index=False, float_format="%.4g"), sep="\n")
        print(", ".join(f"{key} {value:.3g}" for key, value in summary.items()))
        rows.append(
            {
                "sample": name,
                **row(
                    f"largest of {summary['quantities']} deviations [sigma]: p",
                    summary["p_largest"],
                    1.0,
                    1.0,
                    "> 0.01",
                    summary["p_largest"] > 0.01,
                ),
            }
        )
        missed = [
            entry for entry in entries if entry["met"] is False and "deviation_sigma" in entry
        ]
        own = missed_by_own_pairs(ours, min(OWN_PAIRS, len(ours) // 2))
        reached = np.mean(own >= len(missed))
        print(f"missed when our own runs stand for Delphes: {np.bincount(own)} pairs by number")
        rows.append(
            {
                "sample": name,
                **row(
                    "targets missed, mean of own pairs in Delphes' place",
                    len(missed),
                    own.mean(),
                    own.mean(),
                    "",
                    None,
                ),
            }
        )
        rows.append(
            {
                "sample": name,
                **row(
                    "share of own pairs that miss as many",
                    reached,
                    1.0,
                    1.0,
                    "> 0.01",
                    reached > 0.01,
                ),
            }
        )
        shown = dict(zip((REAL, YARDSTICK, OURS), simulations, strict=False))
        plot_distributions(options.output / f"distributions_{name}", shown, f"{name}, 13 TeV")
        plot_response(options.output / f"response_{name}", real, other, ours[0][0], name)
    runs = [pd.concat(run, ignore_index=True) for run in zip(*pooled, strict=True)]
    auc = separation(runs[:2], runs[2:4], options.seed)
    yardstick = separation(runs[:1], runs[1:2], options.seed)
    rows.append(
        {
            "sample": "all",
            **row("AUC of a BDT, Delphes against ours", auc, 0.5, yardstick, "< 0.55", auc < 0.55),
        }
    )
    pd.concat(elsewhere).to_csv(options.output / "deviations.csv", index=False, float_format="%.6g")
    table = pd.DataFrame(rows)
    table.to_csv(options.output / "closure.csv", index=False, float_format="%.6g")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    asked = table[table.met.notna()]
    missed = int((asked.met == False).sum())  # noqa: E712
    print(f"{len(asked) - missed} of {len(asked)} targets met")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
