"""Our events of each process against Delphes files of the same process.

Other generator events than ours, so agreement is in distribution: a Kolmogorov-Smirnov test for
each quantity with at most one value an event, a chi-square test for counts. Ours are made where
they are missing, with the workflow's own production and the recipes of ``processes.yaml``. Writes
``processes.csv`` (one row a comparison) and a figure. Exit status 1 if the smallest p-value, times
the number of comparisons, is below 0.05.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import matplotlib as mpl
import numpy as np
import pandas as pd
import uproot
import yaml
from scipy.stats import chi2_contingency, ks_2samp

from cwolaflow.production.produce import produce_part
from cwolaflow.seeds import derive_seed

mpl.use("Agg")
import matplotlib.pyplot as plt

SIGNIFICANCE = 0.05
MIN_VALUES = 30
MIN_EXPECTED = 10
ELECTRON_MASS, MUON_MASS = 0.000511, 0.10566
LEPTON = ("PT", "Eta", "Phi", "Charge", "IsolationVar")
FIELDS = {
    "Jet": (
        *("PT", "Eta", "Phi", "Mass", "Flavor", "BTag", "TauTag"),
        *("NCharged", "NNeutrals", "ChargedEnergyFraction"),
    ),
    "FatJet": ("PT", "Eta", "Phi", "Mass", "NCharged", "NNeutrals"),
    "Photon": ("PT", "Eta", "Phi", "IsolationVar"),
    "Electron": LEPTON,
    "Muon": LEPTON,
    "MissingET": ("MET", "Phi"),
    "ScalarHT": ("HT",),
    "Tower": ("ET", "Eta", "Eem"),
    "Track": ("PT", "Eta"),
}
# What the figure shows: process, TeV, quantity, label, range.
PANELS = (
    ("vbf_haa", 14, "m_aa", r"$m_{\gamma\gamma}$ [GeV]", (110, 140)),
    ("ggf_haa", 14, "photon1_pt", r"leading photon $p_T$ [GeV]", (0, 200)),
    ("ggf_hzz4l", 14, "m_4l", r"$m_{4\ell}$ [GeV]", (80, 150)),
    ("wlnu_qcd", 13, "lepton1_pt", r"leading e or $\mu$ $p_T$ [GeV]", (0, 300)),
    ("znunu_qcd", 13, "missing_et", "MET [GeV]", (0, 600)),
    ("qcd_dijet", 13, "fat_m_jj", "fat-jet $m_{jj}$ [GeV]", (2000, 6000)),
    ("dark_id10", 13, "fat_m_jj", "fat-jet $m_{jj}$ [GeV]", (2000, 6500)),
    ("dark_id10", 13, "fat1_mass", "leading fat-jet mass [GeV]", (0, 1000)),
)


def read(path: Path) -> dict[str, ak.Array]:
    """Collections of a Delphes file that it has."""
    with uproot.open(path) as file:
        tree = file["Delphes"]
        names = {key.split("/")[-1] for key in tree.keys(recursive=True)}
        return {
            collection: ak.zip({field: tree[f"{collection}.{field}"].array() for field in fields})
            for collection, fields in FIELDS.items()
            if f"{collection}.{fields[0]}" in names
        }


def field(objects: ak.Array, rank: int, name: str) -> np.ndarray:
    """Field of the object of this rank; NaN where there is none."""
    padded = ak.pad_none(objects[name], rank + 1, clip=True)[:, rank]
    return ak.to_numpy(ak.fill_none(padded, np.nan)).astype(np.float64)


def pair_mass(objects: ak.Array, first: int = 0, second: int = 1) -> np.ndarray:
    """Invariant mass of two objects; NaN where there are fewer."""
    return group_mass(
        [
            {name: field(objects, rank, name) for name in ("PT", "Eta", "Phi", "Mass")}
            for rank in (first, second)
        ]
    )


def group_mass(members: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Invariant mass of some objects an event."""
    px, py, pz, energy = (
        sum(values)
        for values in zip(
            *(
                (
                    m["PT"] * np.cos(m["Phi"]),
                    m["PT"] * np.sin(m["Phi"]),
                    m["PT"] * np.sinh(m["Eta"]),
                    np.hypot(m["PT"] * np.cosh(m["Eta"]), m["Mass"]),
                )
                for m in members
            ),
            strict=True,
        )
    )
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))


def leptons(events: dict[str, ak.Array]) -> ak.Array:
    """Electrons and muons together, by falling pt."""
    parts = [
        ak.with_field(events[name], mass * ak.ones_like(events[name].PT), "Mass")
        for name, mass in (("Electron", ELECTRON_MASS), ("Muon", MUON_MASS))
    ]
    both = ak.concatenate(parts, axis=1)
    return both[ak.argsort(both.PT, axis=1, ascending=False)]


def continuous(events: dict[str, ak.Array]) -> dict[str, np.ndarray]:
    """Quantities with at most one value an event; NaN where there is none."""
    jets, photons, both = events["Jet"], events["Photon"], leptons(events)
    photons = ak.with_field(photons, ak.zeros_like(photons.PT), "Mass")
    jet_phi = field(jets, 0, "Phi")
    missing_phi = field(events["MissingET"], 0, "Phi")
    result = {
        "missing_et": field(events["MissingET"], 0, "MET"),
        "scalar_ht": field(events["ScalarHT"], 0, "HT"),
        "m_jj": pair_mass(jets),
        "delta_eta_jj": np.abs(field(jets, 0, "Eta") - field(jets, 1, "Eta")),
        "delta_phi_met_j1": np.abs((missing_phi - jet_phi + np.pi) % (2 * np.pi) - np.pi),
        "m_aa": pair_mass(photons),
        "m_4l": group_mass(
            [
                {name: field(both, rank, name) for name in ("PT", "Eta", "Phi", "Mass")}
                for rank in range(4)
            ]
        ),
        "n_tower": ak.to_numpy(ak.num(events["Tower"])).astype(float),
        "n_track": ak.to_numpy(ak.num(events["Track"])).astype(float),
    }
    for cut in (1.0, 2.5, 5.0):
        near = abs(events["Tower"].Eta) < cut
        result[f"ht_eta_{cut:g}"] = ak.to_numpy(ak.sum(events["Tower"].ET[near], axis=1))
    ecal = ak.sum(events["Tower"].ET[events["Tower"].Eem > 0], axis=1)
    result["ecal_share"] = ak.to_numpy(ecal / ak.sum(events["Tower"].ET, axis=1))
    for rank in (0, 1):
        for name in ("PT", "Eta", "Mass", "ChargedEnergyFraction", "NCharged", "NNeutrals"):
            result[f"jet{rank + 1}_{name.lower()}"] = field(jets, rank, name)
    for name, objects in (("photon", photons), ("lepton", both)):
        for key in ("PT", "Eta", "IsolationVar"):
            result[f"{name}1_{key.lower()}"] = field(objects, 0, key)
        result[f"{name}2_pt"] = field(objects, 1, "PT")
    for name in ("Electron", "Muon"):
        result[f"{name.lower()}1_pt"] = field(events[name], 0, "PT")
    if "FatJet" in events:
        fat = events["FatJet"]
        result["fat_m_jj"] = pair_mass(fat)
        for rank in (0, 1):
            for name in ("PT", "Eta", "Mass", "NCharged", "NNeutrals"):
                result[f"fat{rank + 1}_{name.lower()}"] = field(fat, rank, name)
    return result


def counts(events: dict[str, ak.Array]) -> dict[str, np.ndarray]:
    """Numbers of objects an event."""
    jets = events["Jet"]
    result = {
        "n_jet": ak.num(jets),
        "n_jet_30": ak.sum(jets.PT > 30, axis=1),
        "n_jet_100": ak.sum(jets.PT > 100, axis=1),
        "n_jet_forward": ak.sum(abs(jets.Eta) > 2.5, axis=1),
        "n_b_tag": ak.sum(jets.BTag == 1, axis=1),
        "n_tau_tag": ak.sum(jets.TauTag == 1, axis=1),
        "n_electron": ak.num(events["Electron"]),
        "n_muon": ak.num(events["Muon"]),
        "n_photon": ak.num(events["Photon"]),
        "jet1_flavour": ak.fill_none(ak.firsts(jets.Flavor), -1),
        "jet2_flavour": ak.fill_none(ak.firsts(jets.Flavor[:, 1:]), -1),
    }
    if "FatJet" in events:
        result["n_fat_jet"] = ak.num(events["FatJet"])
    return {name: ak.to_numpy(values) for name, values in result.items()}


def compare_values(ours: np.ndarray, real: np.ndarray) -> dict | None:
    """Kolmogorov-Smirnov test; None with few values."""
    a, b = ours[np.isfinite(ours)], real[np.isfinite(real)]
    if min(len(a), len(b)) < MIN_VALUES:
        return None
    return {
        "entries": len(a),
        "entries_delphes": len(b),
        "mean": a.mean(),
        "mean_delphes": b.mean(),
        "deviation_sigma": deviation(a, b),
        "test": "KS",
        "p": ks_2samp(a, b).pvalue,
    }


def compare_counts(ours: np.ndarray, real: np.ndarray) -> dict | None:
    """Chi-square test of two samples; the highest counts are merged. None if all are equal."""
    values = np.unique(np.concatenate([ours, real]))
    table = np.array([[np.sum(sample == value) for value in values] for sample in (ours, real)])
    while table.shape[1] > 1:
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        rare = int(np.argmin(expected.min(axis=0)))
        if expected[:, rare].min() >= MIN_EXPECTED:
            break
        neighbour = rare - 1 if rare else 1
        table[:, neighbour] += table[:, rare]
        table = np.delete(table, rare, axis=1)
    if table.shape[1] == 1:
        return None
    return {
        "entries": len(ours),
        "entries_delphes": len(real),
        "mean": ours.mean(),
        "mean_delphes": real.mean(),
        "deviation_sigma": deviation(ours, real),
        "test": "chi2",
        "p": chi2_contingency(table, correction=False).pvalue,
    }


def deviation(ours: np.ndarray, real: np.ndarray) -> float:
    """Difference of two means in standard deviations."""
    error = np.hypot(ours.std(ddof=1) / np.sqrt(len(ours)), real.std(ddof=1) / np.sqrt(len(real)))
    return float((ours.mean() - real.mean()) / error) if error > 0 else 0.0


def rows_of(
    process: str,
    kind: Callable[[dict], dict[str, np.ndarray]],
    test: Callable[[np.ndarray, np.ndarray], dict | None],
    ours: dict,
    real: dict,
) -> list[dict]:
    """One row for each quantity of a kind."""
    mine, theirs = kind(ours), kind(real)
    tested = {name: test(mine[name], theirs[name]) for name in mine if name in theirs}
    return [{"process": process, "quantity": n, **row} for n, row in tested.items() if row]


def produce_missing(name: str, recipe: dict, output: Path, cards: Path, detector: Path) -> None:
    """Make our events of a process where they are not there yet."""
    if not output.exists():
        produce_part(
            cards / f"{recipe['card']}.cmnd",
            recipe.get("settings", {}),
            recipe.get("filter", {}),
            recipe["events"],
            derive_seed(2026, "delphes_files", name),
            detector,
            output,
        )


def plot(path: Path, events: dict[str, tuple[dict, dict]]) -> None:
    """Some quantities, Delphes as points and ours as lines, scaled to Delphes' number of events."""
    figure, axes = plt.subplots(2, 4, figsize=(15, 6.4), layout="constrained")
    for axis, (process, sqrt_s_tev, name, label, interval) in zip(axes.flat, PANELS, strict=True):
        if process not in events:
            axis.axis("off")
            continue
        ours, real = (continuous(sample)[name] for sample in events[process])
        bins = np.linspace(*interval, 21)
        heights, reference = (np.histogram(sample, bins)[0] for sample in (ours, real))
        scale = len(real) / len(ours)
        axis.stairs(scale * heights, bins, color="#e42536", label="this detector")
        error = scale * np.sqrt(heights)
        axis.stairs(
            scale * heights + error,
            bins,
            baseline=scale * heights - error,
            fill=True,
            color="#e42536",
            alpha=0.25,
        )
        axis.errorbar(
            (bins[1:] + bins[:-1]) / 2,
            reference,
            np.sqrt(reference),
            fmt="ko",
            markersize=3,
            label="Delphes",
        )
        axis.set(
            xlabel=label, ylabel="events", title=f"{process}, {sqrt_s_tev} TeV", ylim=(0, None)
        )
    axes.flat[0].legend(fontsize=9)
    for suffix in (".pdf", ".png"):
        figure.savefig(path.with_suffix(suffix), dpi=100)
    plt.close(figure)


def main() -> int:
    """Compare all processes for which the folder has a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("delphes", type=Path, help="folder with NAME.root of Delphes")
    parser.add_argument("produced", type=Path, help="folder with ours; missing ones are made")
    parser.add_argument("--recipes", type=Path, default=Path("benchmarks/processes.yaml"))
    parser.add_argument("--cards", type=Path, default=Path("resources/pythia"))
    parser.add_argument("--detector", type=Path, default=Path("resources/detector/cms.yaml"))
    parser.add_argument("--output", type=Path, default=Path("results/process_closure"))
    options = parser.parse_args()
    rows, events = [], {}
    for name, recipe in yaml.safe_load(options.recipes.read_text(encoding="utf-8")).items():
        path = options.delphes / f"{name}.root"
        if not path.exists():
            continue
        ours = options.produced / path.name
        produce_missing(name, recipe, ours, options.cards, options.detector)
        events[name] = read(ours), read(path)
        for kind, test in ((continuous, compare_values), (counts, compare_counts)):
            rows += rows_of(name, kind, test, *events[name])
    if not rows:
        sys.exit(f"{options.delphes}: no file of a process of {options.recipes}")
    options.output.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(options.output / "processes.csv", index=False, float_format="%.5g")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    summary = table.groupby("process", sort=False)["p"].agg(
        comparisons="size", smallest="min", below_5_percent=lambda p: (p < SIGNIFICANCE).sum()
    )
    lowest = table.loc[table.groupby("process", sort=False)["p"].idxmin()]
    summary["quantity"] = lowest.set_index("process")["quantity"]
    print(summary.to_string(float_format=lambda value: f"{value:.3g}"))
    corrected = table["p"].min() * len(table)
    print(
        f"{len(table)} comparisons, {np.mean(table['p'] < SIGNIFICANCE):.1%} below 0.05, smallest "
        f"p {table['p'].min():.2g}, times their number {corrected:.2g}"
    )
    plot(options.output / "processes", events)
    return int(corrected < SIGNIFICANCE)


if __name__ == "__main__":
    sys.exit(main())
