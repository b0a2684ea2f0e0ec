"""Made-up event tables and skims for the tests of representation and learning."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

CWOLA = {"signal_scale": 1.0, "numbers": "rounded", "shortfall": "error"}


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
