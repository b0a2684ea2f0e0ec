from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from detector_events import CARD, toy_events

from cwolaflow.errors import StatisticsError
from cwolaflow.production.detector import read_card, run_detector, simulate
from cwolaflow.seeds import derive_seed

REAL = Path(__file__).parents[1] / "data" / "delphes" / "vbf_hinv.root"


@pytest.fixture(scope="module")
def card():
    return read_card(CARD)


@pytest.fixture(scope="module")
def batches():
    return [toy_events(20, seed=1), toy_events(7, seed=2)]


@pytest.fixture(scope="module")
def path(card, batches, tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "toy.root"
    assert run_detector(path, iter(batches), card, seed=11) == 27
    return path


def test_file_holds_what_was_simulated(path, card, batches):
    with uproot.open(path) as file:
        tree = file["Delphes"]
        assert tree.num_entries == 27
        np.testing.assert_array_equal(ak.flatten(tree["Event.Number"].array()), np.arange(27))
        start = 0
        for number, batch in enumerate(batches):
            output = simulate(batch, card, derive_seed(11, "detector", number), start)
            for name, collection in output.items():
                stop = start + len(batch)
                size = tree[f"{name}_size"].array(entry_start=start, entry_stop=stop)
                np.testing.assert_array_equal(size, ak.num(collection))
                for field in collection.fields:
                    stored = tree[f"{name}.{field}"].array(entry_start=start, entry_stop=stop)
                    assert ak.array_equal(stored, collection[field]), f"{name}.{field}"
            start += len(batch)


def test_branches_are_called_and_typed_as_in_a_real_file(path):
    with uproot.open(path) as ours, uproot.open(REAL) as real:
        known = {
            name.rpartition("/")[2]: branch
            for name, branch in real["Delphes"].iteritems(recursive=True)
        }
        for name, branch in ours["Delphes"].iteritems():
            match = known.get(name)
            if name.startswith("FatJet") and match is None:
                match = known[name.removeprefix("Fat")]
            assert match is not None, name
            assert branch.typename == match.typename, name


def test_same_seed_same_content(path, card, batches, tmp_path):
    run_detector(tmp_path / "again.root", iter(batches), card, seed=11)
    run_detector(tmp_path / "other.root", iter(batches), card, seed=12)
    met = [
        uproot.open(file)["Delphes"]["MissingET.MET"].array()
        for file in (path, tmp_path / "again.root", tmp_path / "other.root")
    ]
    assert ak.array_equal(met[0], met[1])
    assert not ak.array_equal(met[0], met[2])


def test_batches_draw_different_numbers(card, tmp_path):
    same = toy_events(5, seed=1)
    run_detector(tmp_path / "twice.root", [same, same], card, seed=1)
    met = uproot.open(tmp_path / "twice.root")["Delphes"]["MissingET.MET"].array()
    assert not np.any(np.asarray(met[:5]) == np.asarray(met[5:]))


def test_broken_run_leaves_nothing(card, batches, tmp_path):
    def stops():
        yield batches[0]
        raise RuntimeError("the generator died")

    with pytest.raises(RuntimeError, match="the generator died"):
        run_detector(tmp_path / "part.root", stops(), card, seed=1)
    assert not list(tmp_path.iterdir())


def test_no_events_is_an_error(card, tmp_path):
    with pytest.raises(StatisticsError, match=r"part\.root: no events to write"):
        run_detector(tmp_path / "part.root", [], card, seed=1)
    assert not list(tmp_path.iterdir())
