import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pythia8mc
import yaml
from detector_events import CARD, make_events, particle

from cwolaflow.errors import InputError, StatisticsError
from cwolaflow.production.detector import GeneratorEvents, read_generator_events
from cwolaflow.production.detector.particles import charge_of, is_known

PARTICLES = yaml.safe_load(CARD.read_text())["particles"]

# PDG review 2024, particle listings.
CHARGES = {
    11: -1, 12: 0, 13: -1, 15: -1, 16: 0, 21: 0, 22: 0, 23: 0, 24: 1, 25: 0, 37: 1,
    211: 1, 111: 0, 221: 0, 113: 0, 213: 1, 321: 1, 311: 0, 310: 0, 130: 0, 323: 1,
    411: 1, 421: 0, 431: 1, 521: 1, 511: 0, 531: 0, 541: 1, 443: 0, 553: 0,
    2212: 1, 2112: 0, 2224: 2, 1114: -1, 3122: 0, 3222: 1, 3212: 0, 3112: -1, 3312: -1, 3322: 0,
    3334: -1, 4122: 1, 4222: 2, 4132: 0, 4332: 0, 5122: 0, 5112: -1, 5332: -1,
    20213: 1, 10323: 1, 9010221: 0, 1000022: 0, 1000024: 1,
}  # fmt: skip


@pytest.mark.parametrize("pid", CHARGES)
def test_charge(pid):
    charges = charge_of(np.array([pid, -pid]), PARTICLES["charges"])
    np.testing.assert_array_equal(charges, [CHARGES[pid], -CHARGES[pid]])


def test_quarks_count_as_neutral():
    assert not charge_of(np.array([1, 2, -3, 5, 2101]), PARTICLES["charges"]).any()


def test_exotica_are_unknown():
    known = is_known(
        np.array([4900111, -4900113, 5000022, 9900012, 1000010020, 1000045, 1000022, 211, -2212]),
        PARTICLES["unknown"],
    )
    np.testing.assert_array_equal(known, [False] * 6 + [True] * 3)


def test_events_from_a_jagged_array():
    records = ak.Array([[particle(22, 3.0)], [], [particle(11, 1.0), particle(13, 2.0, status=2)]])
    events = GeneratorEvents.from_awkward(records, np.array([1.0, 2.0, 3.0]))
    assert len(events) == 3
    np.testing.assert_array_equal(events.offsets, [0, 1, 1, 3])
    np.testing.assert_array_equal(events.event, [0, 2, 2])
    np.testing.assert_array_equal(events.pid, [22, 11, 13])
    np.testing.assert_allclose(events.px, [3, 1, 2])
    np.testing.assert_array_equal(events.weight, [1, 2, 3])


def test_events_from_parquet_in_chunks(tmp_path):
    events = [[particle(22, k + 1.0)] * k for k in range(5)]
    ak.to_parquet(
        ak.zip({"particle": ak.Array(events)}, depth_limit=1), tmp_path / "events.parquet"
    )
    chunks = list(read_generator_events(tmp_path / "events.parquet", 2))
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    together = np.concatenate([chunk.px for chunk in chunks])
    np.testing.assert_allclose(together, make_events(*events).px)


def test_wrong_parquet_is_named(tmp_path):
    pq.write_table(pa.table({"jet_pt": [1.0]}), tmp_path / "skim.parquet")
    with pytest.raises(InputError, match=r"skim\.parquet: no column 'particle', only jet_pt"):
        next(read_generator_events(tmp_path / "skim.parquet", 10))


def test_weights_from_parquet(tmp_path):
    table = ak.Array(
        {"particle": [[particle(22, 1.0)], [particle(22, 2.0)]], "weight": [0.5, -1.5]}
    )
    ak.to_parquet(table, tmp_path / "events.parquet")
    (events,) = read_generator_events(tmp_path / "events.parquet", 10)
    np.testing.assert_array_equal(events.weight, [0.5, -1.5])


@pytest.fixture(scope="module")
def pythia():
    generator = pythia8mc.Pythia("", False)
    for line in (
        "Print:quiet = on",
        "Random:setSeed = on",
        "Random:seed = 5",
        "Beams:eCM = 13000.",
        "HardQCD:all = on",
        "PhaseSpace:pTHatMin = 50.",
        "PartonLevel:MPI = off",
    ):
        assert generator.readString(line)
    assert generator.init()
    return generator


def test_events_from_pythia(pythia):
    events = GeneratorEvents.from_pythia(pythia.nextBatch(3))
    assert len(events) == 3
    # The last event is still in the generator: the same record, particle by particle.
    last = [pythia.event[k] for k in range(1, pythia.event.size())]
    mine = slice(events.offsets[2], events.offsets[3])
    expected = {
        "pid": [entry.id() for entry in last],
        "mother": [entry.mother1() - 1 for entry in last],
        "px": [entry.px() for entry in last],
        "e": [entry.e() for entry in last],
        "m": [entry.m() for entry in last],
        "x": [entry.xProd() for entry in last],
        "t": [entry.tProd() for entry in last],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(events, name)[mine], values, err_msg=name)
    final = [entry.isFinal() for entry in last]
    np.testing.assert_array_equal(events.status[mine] == 1, final)
    assert list(events.status[mine][:2]) == [4, 4]
    # Final particles carry the energy of the beams.
    for start, stop in zip(events.offsets, events.offsets[1:], strict=False):
        stable = events.status[start:stop] == 1
        assert events.e[start:stop][stable].sum() == pytest.approx(13000, rel=1e-3)
        assert events.px[start:stop][stable].sum() == pytest.approx(0, abs=1e-2)


def test_no_events_from_pythia_is_an_error(pythia):
    with pytest.raises(StatisticsError, match="PYTHIA gave no events"):
        GeneratorEvents.from_pythia(pythia.nextBatch(0))
