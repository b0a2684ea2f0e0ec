"""Each module of the detector against Delphes, on what entered that very module.

Two whole simulations of an event differ by their random numbers; its modules need not. Generator
events say what entered the tracker and each calorimeter cell, so that the efficiencies, momenta and
energies that Delphes drew can be held against the distributions they should follow. And the energy
flow, jets, missing momentum, isolation and removal of shared objects draw no random number: from
Delphes' own tracks and towers they must give Delphes' own jets. (Only the energy of cells below
threshold is not in the file. It is drawn, and moves a track a little.)

The input folder is that of ``detector_closure.py``. Writes ``modules.csv``; exit status 1 if one
row is missed. Efficiencies and distributions are met if their p-value, times the number of such
rows, is above 0.05.
"""

import argparse
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import uproot
from scipy.stats import kstest, norm

from cwolaflow.kinematics import wrap_phi
from cwolaflow.production.detector import read_card, read_generator_events
from cwolaflow.production.detector.calorimeter import (
    Calorimeter,
    Cells,
    Signals,
    combine_with_tracks,
    deposit,
)
from cwolaflow.production.detector.card import DetectorCard
from cwolaflow.production.detector.flow import (
    PHOTON,
    Measurement,
    merge_flow,
    missing_momentum,
)
from cwolaflow.production.detector.geometry import delta_r
from cwolaflow.production.detector.jets import cluster, constituent_summary, tau_charge
from cwolaflow.production.detector.objects import Candidates, isolation_sums, remove_shared
from cwolaflow.production.detector.particles import GeneratorEvents
from cwolaflow.production.detector.propagation import StableParticles, propagate
from cwolaflow.production.detector.tracking import TRACK_CLASSES, Tracks, species_of

FIELDS = {
    "Track": ("PT", "Eta", "Phi", "PID"),
    "Tower": ("E", "Eta", "Phi", "Eem", "Etrk"),
    "Jet": ("PT", "Eta", "Phi", "Flavor", "BTag", "TauTag", "TauFlavor", "NCharged", "NNeutrals"),
    "Photon": ("PT", "Eta", "Phi", "SumPtCharged", "SumPtNeutral"),
    "Electron": ("PT", "Eta", "Phi", "SumPtCharged", "SumPtNeutral"),
    "Muon": ("PT", "Eta", "Phi", "SumPtCharged", "SumPtNeutral"),
    "MissingET": ("MET", "Phi"),
    "ScalarHT": ("HT",),
}
ETA_REGIONS = {
    "tracker": ((0, 0.5), (0.5, 1.5), (1.5, 2.5)),
    "ecal": ((0, 1.5), (1.5, 2.5), (2.5, 5)),
    "hcal": ((0, 1.5), (1.5, 3), (3, 5)),
}
SIGNIFICANCE = 0.05


def read_flat(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Collections as flat columns with the ``event`` of each object."""
    result = {}
    with uproot.open(path) as file:
        tree = file["Delphes"]
        for collection, fields in FIELDS.items():
            columns = {name: tree[f"{collection}.{name}"].array() for name in fields}
            counts = ak.num(columns[fields[0]]).to_numpy()
            flat = {name: ak.to_numpy(ak.flatten(column)) for name, column in columns.items()}
            flat = {
                name: values.astype(np.float64 if values.dtype == np.float32 else np.int64)
                for name, values in flat.items()
            }
            result[collection] = {"event": np.repeat(np.arange(len(counts)), counts), **flat}
    return result


def owners(tracks: dict[str, np.ndarray], particles: StableParticles) -> np.ndarray:
    """Particle of each of Delphes' tracks: the charged one of the same kind and direction."""
    charged = np.flatnonzero(particles.charge != 0)
    # The numbers 1e6 and 1e3 keep events and kinds apart; |eta| < 10.
    order = charged[
        np.argsort(_direction_key(particles.event, particles.pid, particles.eta)[charged])
    ]
    keys = _direction_key(particles.event[order], particles.pid[order], particles.eta[order])
    wanted = _direction_key(tracks["event"], tracks["PID"], tracks["Eta"])
    place = np.clip(np.searchsorted(keys, wanted), 1, len(keys) - 1)
    place -= wanted - keys[place - 1] < keys[place] - wanted
    return order[place]


def _direction_key(event, pid, eta):
    return 1e6 * event + 20.0 * (np.abs(pid) % 40_000) + eta


def count_row(quantity: str, seen: np.ndarray, probability: np.ndarray) -> dict:
    """How often something happened, against the sum of its probabilities."""
    expected, variance = probability.sum(), (probability * (1 - probability)).sum()
    z = (seen.sum() - expected) / np.sqrt(variance)
    return {
        "quantity": quantity,
        "entries": len(seen),
        "expected": expected / len(seen),
        "delphes": seen.mean(),
        "deviation_sigma": z,
        "p": 2 * norm.sf(abs(z)),
    }


def shape_row(quantity: str, uniform: np.ndarray) -> dict:
    """Cumulative probabilities of Delphes' draws; they should be uniform."""
    z = (uniform.mean() - 0.5) * np.sqrt(12 * len(uniform))
    return {
        "quantity": quantity,
        "entries": len(uniform),
        "expected": 0.5,
        "delphes": uniform.mean(),
        "deviation_sigma": z,
        "p": kstest(uniform, "uniform").pvalue,
    }


def exact_row(quantity: str, share: float, entries: int, target: float) -> dict:
    """Share of objects that agree."""
    return {
        "quantity": quantity,
        "entries": entries,
        "expected": 1.0,
        "delphes": share,
        "target": f">= {target}",
        "met": share >= target,
    }


def limit_row(quantity: str, value: float, entries: int, target: float, centre: float = 0) -> dict:
    """A number that must be near its expectation."""
    return {
        "quantity": quantity,
        "entries": entries,
        "expected": centre,
        "delphes": value,
        "target": f"{centre:g} +- {target:g}",
        "met": abs(value - centre) <= target,
    }


def tracker_rows(
    particles: StableParticles, real: dict, owner: np.ndarray, card: DetectorCard
) -> list[dict]:
    """Efficiency and momentum resolution, by class and region."""
    rows = []
    found = np.zeros(len(particles), dtype=bool)
    found[owner] = True
    charged = np.flatnonzero(particles.charge != 0)
    measured = np.zeros(len(particles))
    measured[owner] = real["Track"]["PT"]
    for number, name in enumerate(TRACK_CLASSES):
        for low, high in ETA_REGIONS["tracker"]:
            eta = np.abs(particles.eta_exit[charged])
            mine = charged[
                (species_of(particles.pid[charged]) == number) & (eta > low) & (eta <= high)
            ]
            table, where = card.tracking[name], f"{name}, |eta| {low}-{high}"
            chance = table.efficiency(particles.eta_exit[mine], pt=particles.pt[mine])
            if chance.sum() < 20:
                continue
            rows.append(count_row(f"track efficiency, {where}", found[mine], chance))
            seen = mine[found[mine]]
            pt = particles.pt[seen]
            relative = np.minimum(table.resolution(particles.eta_exit[seen], pt=pt), 1)
            uniform = log_normal_cdf(measured[seen], pt, relative * pt)
            rows.append(shape_row(f"track momentum, {where}", uniform))
    return rows


def log_normal_cdf(value: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Cumulative probability of a log-normal with this mean and standard deviation."""
    width = np.sqrt(np.log1p((sigma / mean) ** 2))
    return norm.cdf((np.log(value / mean) + width**2 / 2) / width)


def threshold(calorimeter: Calorimeter, eta: np.ndarray) -> np.ndarray:
    """Smallest measured energy that counts, in GeV."""
    centres, place = np.unique(eta, return_inverse=True)
    low, high = np.zeros(len(centres)), np.full(len(centres), 1000.0)
    for _ in range(60):
        middle = (low + high) / 2
        sigma = calorimeter.resolution(centres, energy=middle)
        below = (middle < calorimeter.energy_min) | (middle < calorimeter.significance_min * sigma)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high[place]


def own_signals(
    cells: Cells, calorimeter: Calorimeter, towers: dict, rng: np.random.Generator
) -> tuple[Signals, np.ndarray, float, list[dict]]:
    """Delphes' towers as the signals of our cells.

    Returns the signals, each tower's cell, the share of towers that lie in a cell that something
    hit, and for all cells what decides whether they follow the resolution.
    """
    cells_of_event = calorimeter.grid.cells
    keys = cells.event * cells_of_event + cells.cell
    wanted = towers["event"] * cells_of_event + calorimeter.grid.cell_of(
        towers["Eta"], towers["Phi"]
    )
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    known = keys[place] == wanted
    eta = cells.eta_centre
    sigma = calorimeter.resolution(eta, energy=cells.deposit)
    at_threshold = log_normal_cdf(threshold(calorimeter, eta), cells.deposit, sigma)
    stored = np.zeros(len(keys), dtype=bool)
    stored[place[known]] = True
    # Below threshold: a draw from what is left of the distribution.
    quantile = norm.ppf(at_threshold * rng.random(len(keys)))
    width = np.sqrt(np.log1p((sigma / cells.deposit) ** 2))
    measured = cells.deposit * np.exp(width * quantile - width**2 / 2)
    measured[place[known]] = towers["E"][known]
    position = {name: np.zeros(len(keys)) for name in ("Eta", "Phi")}
    for name, values in position.items():
        values[place[known]] = towers[name][known]
    signals = Signals(
        energy=np.where(stored, measured, 0),
        sigma=calorimeter.resolution(eta, energy=measured),
        eta=position["Eta"],
        phi=position["Phi"],
    )
    place = np.where(known, place, -1)
    return signals, place, at_threshold, stored


def calorimeter_rows(
    name: str, cells: Cells, calorimeter: Calorimeter, signals: Signals, at_threshold, stored
) -> list[dict]:
    """Share of cells above threshold and their energies, by region."""
    rows = []
    sigma = calorimeter.resolution(cells.eta_centre, energy=cells.deposit)
    eta = np.abs(cells.eta_centre)
    for low, high in ETA_REGIONS[name]:
        for e_low, e_high in ((0, 5), (5, 20), (20, np.inf)):
            mine = (eta > low) & (eta <= high) & (cells.deposit > e_low) & (cells.deposit <= e_high)
            where = f"{name}, |eta| {low}-{high}, E {e_low}-{e_high:g} GeV"
            chance = 1 - at_threshold[mine]
            if (chance * (1 - chance)).sum() > 20:
                rows.append(count_row(f"cells above threshold, {where}", stored[mine], chance))
            seen = mine & stored
            if seen.sum() < 50:
                continue
            uniform = log_normal_cdf(signals.energy[seen], cells.deposit[seen], sigma[seen])
            uniform = (uniform - at_threshold[seen]) / (1 - at_threshold[seen])
            rows.append(shape_row(f"tower energy, {where}", np.clip(uniform, 0, 1)))
    return rows


def candidates(collection: str, real: dict, measurement: Measurement) -> tuple[Candidates, float]:
    """Delphes' own photons or leptons as our candidates, and the share that we know."""
    mine, flow, particles = real[collection], measurement.flow, measurement.particles
    if collection == "Photon":
        pool = np.flatnonzero(flow.kind == PHOTON)
        event, eta, phi, pt = flow.event[pool], flow.eta[pool], flow.phi[pool], flow.pt[pool]
        source, flow_index = flow.source[pool], pool
    else:
        tracks = measurement.tracks if collection == "Muon" else measurement.flow_tracks
        source = np.flatnonzero(tracks.species == TRACK_CLASSES.index(collection.lower()))
        owner = tracks.particle[source]
        event, eta, phi = particles.event[owner], particles.eta[owner], particles.phi[owner]
        pt, flow_index = tracks.pt[source], np.full(len(source), -1)
    matched = []
    for index in range(len(mine["event"])):
        same = np.flatnonzero(event == mine["event"][index])
        distance = np.hypot(
            eta[same] - mine["Eta"][index], wrap_phi(phi[same] - mine["Phi"][index])
        )
        near = same[np.argmin(distance)] if len(same) and distance.min() < 1e-3 else -1
        matched.append(near if near >= 0 and abs(pt[near] / mine["PT"][index] - 1) < 0.02 else -1)
    matched = np.array(matched, dtype=np.int64)
    good = matched >= 0
    chosen = matched[good]
    eta_exit = eta if collection == "Photon" else particles.eta_exit[owner]
    found = Candidates(
        event=event[chosen],
        source=source[chosen],
        flow=flow_index[chosen],
        pt=pt[chosen],
        eta=eta[chosen],
        phi=phi[chosen],
        eta_exit=eta_exit[chosen],
        sum_charged=mine["SumPtCharged"][good],
        sum_neutral=mine["SumPtNeutral"][good],
    )
    return found, good.mean() if len(good) else 1.0


def match_jets(real: dict, event, eta, phi) -> np.ndarray:
    """Index of our nearest jet within 0.2 of each of Delphes' jets, -1 for none."""
    result = np.full(len(real["event"]), -1)
    first = np.searchsorted(event, np.arange(event.max() + 2))
    for index, number in enumerate(real["event"]):
        if number > event.max():
            continue
        mine = np.arange(first[number], first[number + 1])
        distance = delta_r(eta[mine], phi[mine], real["Eta"][index], real["Phi"][index])
        if len(mine) and distance.min() < 0.2:
            result[index] = mine[np.argmin(distance)]
    return result


def replay_rows(
    real: dict, generated: GeneratorEvents, measurement: Measurement, card: DetectorCard
) -> list[dict]:
    """What follows from Delphes' own tracks and towers without a random number."""
    flow, events = measurement.flow, measurement.events
    rows = []
    missing = missing_momentum(flow, events)
    shift = np.hypot(
        missing["MET"] * np.cos(missing["Phi"])
        - real["MissingET"]["MET"] * np.cos(real["MissingET"]["Phi"]),
        missing["MET"] * np.sin(missing["Phi"])
        - real["MissingET"]["MET"] * np.sin(real["MissingET"]["Phi"]),
    )
    rows.append(limit_row("missing momentum: median distance [GeV]", np.median(shift), events, 1.0))
    bias = np.mean(missing["MET"] / real["MissingET"]["MET"] - 1)
    rows.append(limit_row("missing momentum: mean relative shift", bias, events, 2e-3))
    found = {}
    for collection, section in (
        ("Photon", "photons"),
        ("Electron", "electrons"),
        ("Muon", "muons"),
    ):
        found[collection], share = candidates(collection, real, measurement)
        entries = len(real[collection]["event"])
        if not entries:
            continue
        rows.append(exact_row(f"{collection}: is one of our candidates", share, entries, 0.99))
        charged, neutral = isolation_sums(
            found[collection], flow, events, card.settings[section]["isolation"]
        )
        same = (
            np.abs(
                charged + neutral - found[collection].sum_charged - found[collection].sum_neutral
            )
            < 0.1
        )
        rows.append(
            exact_row(f"{collection}: isolation sum within 0.1 GeV", same.mean(), len(same), 0.95)
        )
    unique, shared = remove_shared(found, measurement)
    kept = sum(len(c) for c in unique.values()) / max(sum(len(c) for c in found.values()), 1)
    rows.append(
        exact_row("photons, e, mu that stay unique", kept, sum(map(len, found.values())), 1)
    )
    raw = cluster(flow, events, card.settings["jets"]["radius"], card.settings["jets"]["pt_min"])
    jets = raw.scaled(card.energy_scale(pt=raw.pt, eta=raw.eta))
    keep = raw.sum(shared.astype(np.float64)) == 0
    summary = constituent_summary(raw, flow)
    theirs = real["Jet"]
    # Jets near the threshold of 20 GeV come and go with the cells below threshold.
    match = match_jets(theirs, jets.event[keep], jets.eta[keep], jets.phi[keep])
    hard = theirs["PT"] > 30
    rows.append(
        exact_row(
            "jets above 30 GeV that are found again", np.mean(match[hard] >= 0), hard.sum(), 0.995
        )
    )
    back = np.isin(np.flatnonzero(jets.pt[keep] > 30), match[match >= 0])
    rows.append(exact_row("our jets above 30 GeV that Delphes has", back.mean(), len(back), 0.995))
    for low, high in ((30, 60), (60, 150), (150, np.inf)):
        chosen = (match >= 0) & (theirs["PT"] > low) & (theirs["PT"] <= high)
        ours = np.flatnonzero(keep)[match[chosen]]
        ratio = jets.pt[ours] / theirs["PT"][chosen]
        where = f"pt {low}-{high:g} GeV"
        rows.append(
            limit_row(f"jet pt ratio, median, {where}", np.median(ratio), len(ratio), 1e-3, 1)
        )
        rows.append(limit_row(f"jet pt ratio, mean, {where}", np.mean(ratio), len(ratio), 2e-3, 1))
        wide = np.subtract(*np.quantile(ratio, [0.84135, 0.15865])) / 2
        rows.append(limit_row(f"jet pt ratio, half-width, {where}", wide, len(ratio), 0.01))
        for name in ("NCharged", "NNeutrals"):
            same = np.rint(summary[name][ours]) == theirs[name][chosen]
            rows.append(exact_row(f"{name} of jets equal, {where}", same.mean(), len(same), 0.95))
    for name, tagger, code in (
        ("BTag", card.b_tag, "Flavor"),
        ("TauTag", card.tau_tag, "TauFlavor"),
    ):
        chance = np.full(len(theirs["PT"]), tagger.default(pt=theirs["PT"], eta=theirs["Eta"]))
        for flavour, formula in tagger.by_flavour.items():
            chance = np.where(
                theirs[code] == flavour, formula(pt=theirs["PT"], eta=theirs["Eta"]), chance
            )
        rows.append(count_row(f"{name} of jets", theirs[name] == 1, chance))
    chosen = match >= 0
    tau = tau_charge(jets, generated, card.settings["tau_tag"])
    same = (tau[np.flatnonzero(keep)[match[chosen]]] != 0) == (theirs["TauFlavor"][chosen] == 15)
    rows.append(exact_row("jets with a tau, same answer", same.mean(), len(same), 0.998))
    return rows


def compare(path: Path, generated: GeneratorEvents, card: DetectorCard, seed: int) -> list[dict]:
    """All rows of one Delphes run."""
    rng = np.random.default_rng(seed)
    real = read_flat(path)
    particles = propagate(generated, card.settings["particles"], card.settings["propagation"])
    owner = owners(real["Track"], particles)
    rows = tracker_rows(particles, real, owner, card)
    species = species_of(particles.pid[owner])
    resolution = np.zeros(len(owner))
    for number, name in enumerate(TRACK_CLASSES):
        mine = owner[species == number]
        resolution[species == number] = np.minimum(
            card.tracking[name].resolution(particles.eta_exit[mine], pt=particles.pt[mine]), 1
        )
    tracks = Tracks(owner, species, real["Track"]["PT"], resolution)
    flow_tracks, towers = tracks, {}
    for name, electromagnetic in (("ecal", True), ("hcal", False)):
        calorimeter = card.calorimeters[name]
        cells = deposit(particles, calorimeter)
        mine = (real["Tower"]["Eem"] > 0) == electromagnetic
        theirs = {key: values[mine] for key, values in real["Tower"].items()}
        signals, place, at_threshold, stored = own_signals(cells, calorimeter, theirs, rng)
        rows.append(
            exact_row(
                f"{name} towers in a cell that was hit", np.mean(place >= 0), len(place), 0.9999
            )
        )
        rows += calorimeter_rows(name, cells, calorimeter, signals, at_threshold, stored)
        towers[name], flow_tracks = combine_with_tracks(
            particles, flow_tracks, calorimeter, cells, signals
        )
        known = place >= 0
        ours, etrk = towers[name].track_energy[place[known]], theirs["Etrk"][known]
        same = np.abs(ours - etrk) < 1e-3 + 1e-4 * etrk
        rows.append(exact_row(f"{name}: track energy of towers", same.mean(), len(same), 0.999))
    flow = merge_flow(particles, flow_tracks, towers["ecal"], towers["hcal"])
    measurement = Measurement(
        len(generated), particles, tracks, flow_tracks, towers["ecal"], towers["hcal"], flow
    )
    return rows + replay_rows(real, generated, measurement, card)


def main() -> int:
    """Compare all Delphes runs of the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the closure files")
    parser.add_argument("--card", type=Path, default=Path("resources/detector/cms.yaml"))
    parser.add_argument("--output", type=Path, default=Path("results/detector_modules"))
    parser.add_argument("--seed", type=int, default=1, help="of cells below threshold")
    options = parser.parse_args()
    card = read_card(options.card)
    rows = []
    for source in sorted(options.folder.glob("*.generator.parquet")):
        name = source.name.removesuffix(".generator.parquet")
        generated = next(read_generator_events(source, 1_000_000))
        for path in sorted(options.folder.glob(f"{name}*.root")):
            rows += [
                {"run": path.stem, **entry}
                for entry in compare(path, generated, card, options.seed)
            ]
    if not rows:
        sys.exit(f"{options.folder}: no *.generator.parquet; give the folder of closure files")
    table = pd.DataFrame(rows)
    drawn = table["p"].notna()
    table.loc[drawn, "target"] = f"p x {drawn.sum()} > {SIGNIFICANCE}"
    table.loc[drawn, "met"] = table["p"][drawn] * drawn.sum() > SIGNIFICANCE
    options.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.output / "modules.csv", index=False, float_format="%.6g")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    z = table["deviation_sigma"][drawn]
    print(
        f"{drawn.sum()} draws tested: smallest p {table['p'].min():.2g}, chi2 of the deviations "
        f"{(z**2).sum():.1f} for {len(z)}"
    )
    missed = int((~table["met"].astype(bool)).sum())
    print(f"{len(table) - missed} of {len(table)} targets met")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
