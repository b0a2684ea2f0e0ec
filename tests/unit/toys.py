"""Made-up event tables and skims for the tests of representation and learning."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

CWOLA = {"signal_scale": 1.0, "numbers": "rounded", "shortfall": "error"}
DENSE = {"name": "dense", "hidden": [8], "activation": "relu"}
TREES = {
    "name": "gradient_boosting",
    "max_leaf_nodes": 8,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
}


def event_table(pools, folds=4, seed=1):
    """Event table with pools (process, label, region, n events, expected per fb⁻¹)."""
    rng = np.random.default_rng(seed)
    parts = []
    for process, label, region, n, per_fb in pools:
        parts.append(
            pd.DataFrame(
                {
                    "sample": process,
                    "process": process,
                    "label": np.int8(label),
                    "region": region,
                    "weight_fb": np.full(n, per_fb / n),
                    "fold": rng.permutation(np.arange(n) % folds).astype(np.int8),
                    "missing_et": np.float32(250),
                    "flavour_category": "2q0g" if region == "SR" else "1q1g",
                }
            )
        )
    events = pd.concat(parts, ignore_index=True)
    events.insert(0, "event_id", np.arange(len(events)))
    return events


def gaussian_features(events, separation, seed=2):
    """Two features, of which the first is shifted by ``separation`` for signal."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(events), 2))
    values[:, 0] += separation * events["label"].to_numpy()
    return torch.from_numpy(values.astype(np.float32))


def particles(rng, n_events):
    """Columns of a set of 3 to 6 particles an event of two kinds, and where each event starts."""
    offsets = np.cumsum([0, *rng.integers(3, 7, n_events)])
    n = int(offsets[-1])
    columns = {
        "pt": rng.exponential(10, n).astype(np.float32),
        "eta": rng.uniform(-5, 5, n).astype(np.float32),
        "phi": rng.uniform(-3, 3, n).astype(np.float32),
        "kind": rng.integers(0, 2, n).astype(np.int8),
    }
    return offsets, columns


def write_skim(path, events, first_id=100):
    """Write the columns of a skim that representations need, from one dict an event.

    Each has ``jet_eta``, ``jet_phi`` and lists; ``missing_et_phi`` is 0 unless given.
    """
    arrays = {"event_id": pa.array(range(first_id, first_id + len(events)), pa.int64())}
    met_phi = [event.get("missing_et_phi", 0.0) for event in events]
    arrays["missing_et_phi"] = pa.array(met_phi, pa.float32())
    for name in events[0]:
        if name != "missing_et_phi":
            arrays[name] = pa.array([event[name] for event in events], pa.list_(pa.float32()))
    pq.write_table(pa.table(arrays), path, row_group_size=70)
