"""Reading of Delphes ROOT files, in chunks, under this package's column names."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from cwolaflow.columns import BRANCHES, DERIVED, SCALARS
from cwolaflow.errors import InputError

TREE = "Delphes"

_COUNTS = {"jet_n_charged": "Jet.NCharged", "jet_n_neutrals": "Jet.NNeutrals"}
"""Branches that serve derived columns only. Their sum is the number of ``Jet.Constituents``."""

SORTED_COLLECTIONS = ("jet", "electron", "muon", "photon")
"""Collections brought to descending pT; towers and tracks keep the detector's order."""

MOMENTUM_ENDINGS = ("_pt", "_et")
LARGEST_MOMENTUM = 1e6
"""GeV, beyond any collider: some damage inside a compressed basket shows only in such values."""

_ALL_BRANCHES = BRANCHES | _COUNTS


class DelphesFile:
    """An open Delphes file, to be used in a ``with`` block.

    Parameters
    ----------
    path : str or Path
        Local path or ``root://`` address.

    Attributes
    ----------
    path : str
        As given.
    entries : int
        Number of events, at least 1.
    columns : frozenset of str
        Which columns of ``columns.BRANCHES`` the file has; a collection without pT has none.
    derived : frozenset of str
        Which columns of ``columns.DERIVED`` can be made of them.

    Raises
    ------
    InputError
        The file is missing, truncated, not ROOT, or has no ``Delphes`` tree with events.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        with _named_damage(self.path):
            # As a key, a path may contain a colon.
            self._file = uproot.open({self.path: None})
        try:
            self._tree = self._find_tree()
            self.entries = int(self._tree.num_entries)
            if self.entries == 0:
                raise InputError(f"{self.path}: the tree '{TREE}' has no events; remove the file")
            # "Jet/Jet.PT" in the files of Delphes, "Jet.PT" where the tree was written flat.
            self._keys = {key.rpartition("/")[2]: key for key in self._tree.keys(recursive=True)}
            self._branches = self._readable_branches()
            self.columns = frozenset(self._branches.keys() & BRANCHES.keys())
            self.derived = frozenset(
                name for name, parts in DERIVED.items() if self._branches.keys() >= set(parts)
            )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "DelphesFile":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _find_tree(self):
        with _named_damage(self.path):
            names = sorted(set(self._file.keys(cycle=False)))
            tree = self._file[TREE] if TREE in names else None
        if not isinstance(tree, uproot.TTree):
            found = ", ".join(names[:10]) or "nothing"
            raise InputError(f"{self.path}: no tree '{TREE}' (found: {found}); not a Delphes file?")
        return tree

    def _readable_branches(self) -> dict[str, str]:
        present = {c: branch for c, branch in _ALL_BRANCHES.items() if branch in self._keys}
        headless = [name for name in SORTED_COLLECTIONS if f"{name}_pt" not in present]
        return {c: b for c, b in present.items() if c.partition("_")[0] not in headless}

    def require(self, needed: Mapping[str, str]) -> None:
        """Check that columns can be read.

        Parameters
        ----------
        needed : mapping of str to str
            Column names, and what needs each.

        Raises
        ------
        InputError
            Names the first missing branch, the file, and what needs it.
        """
        for column, user in needed.items():
            lacking = [c for c in DERIVED.get(column, (column,)) if c not in self._branches]
            if lacking:
                branch = _ALL_BRANCHES[lacking[0]]
                if branch in self._keys:
                    branch = f"{branch.partition('.')[0]}.PT"
                raise InputError(
                    f"{self.path}: no branch '{branch}', needed by {user}; "
                    "keep it in the Delphes card's TreeWriter"
                )

    def chunks(
        self, columns: Collection[str], chunk_events: int
    ) -> Iterator[tuple[int, dict[str, ak.Array | np.ndarray]]]:
        """Read columns, a bounded number of events at a time.

        Parameters
        ----------
        columns : collection of str
            Among ``self.columns`` and ``self.derived``.
        chunk_events : int
            Largest number of events in a chunk.

        Yields
        ------
        start : int
            Entry number of the chunk's first event.
        events : dict
            See ``columns.Events``. Floats as stored (float32), integers as int32; jets, leptons and
            photons are sorted by falling pT.

        Raises
        ------
        InputError
            The file is damaged, or holds NaN, infinity or momenta that cannot be.
        """
        derived = DERIVED.keys() & set(columns)
        wanted = set(columns) - derived
        wanted |= {part for name in derived for part in DERIVED[name]}
        wanted |= {
            f"{n}_pt" for n in SORTED_COLLECTIONS if any(c.startswith(f"{n}_") for c in columns)
        }
        keys = {column: self._keys[_ALL_BRANCHES[column]] for column in sorted(wanted)}
        with _named_damage(self.path):
            chunks = self._tree.iterate(
                list(keys.values()), step_size=chunk_events, library="ak", how=dict
            )
        start = 0
        while True:
            with _named_damage(self.path):
                arrays = next(chunks, None)
            if arrays is None:
                break
            events = {column: arrays[key] for column, key in keys.items()}
            size = len(next(iter(events.values())))
            for column in events:
                events[column] = self._checked(column, events[column], start)
            _sort_by_pt(events)
            for name in sorted(derived):
                events[name] = _derive(name, *(events[part] for part in DERIVED[name]))
            yield start, {name: values for name, values in events.items() if name not in _COUNTS}
            start += size
        if start != self.entries:
            raise InputError(f"{self.path}: {start} of {self.entries} events readable; damaged")

    def _checked(self, column: str, values: ak.Array, start: int) -> ak.Array | np.ndarray:
        """Bring a column to its type and shape, refusing what no event can have."""
        branch = _ALL_BRANCHES[column]
        if column in SCALARS:
            if values.ndim == 1:
                values = values[:, np.newaxis]
            counts = ak.to_numpy(ak.num(values))
            if np.any(counts != 1):
                entry = int(np.argmax(counts != 1))
                raise InputError(
                    f"{self.path}: {counts[entry]} values of '{branch}' in entry {start + entry}, "
                    "expected one; damaged?"
                )
        flat = ak.to_numpy(ak.flatten(values))
        if flat.dtype.kind in "iu":
            return ak.values_astype(values, np.int32)
        sound = np.isfinite(flat)
        if column.endswith(MOMENTUM_ENDINGS):
            sound &= (flat >= 0) & (flat < LARGEST_MOMENTUM)
        if not np.all(sound):
            entry = np.searchsorted(
                np.cumsum(ak.to_numpy(ak.num(values))), np.argmin(sound), "right"
            )
            raise InputError(
                f"{self.path}: '{branch}' is {flat[np.argmin(sound)]:g} in entry {start + entry}; "
                "make the file again or leave it out"
            )
        return flat if column in SCALARS else values


def _derive(name: str, first: ak.Array, second: ak.Array) -> ak.Array:
    if name.startswith("lepton_"):
        return ak.concatenate([first, second], axis=1)
    return first + second


def _sort_by_pt(events: dict[str, ak.Array | np.ndarray]) -> None:
    for name in SORTED_COLLECTIONS:
        pt = events.get(f"{name}_pt")
        if pt is None or ak.all(pt[:, :-1] >= pt[:, 1:], axis=None):
            continue
        order = ak.argsort(pt, axis=1, ascending=False, stable=True)
        for column in events:
            if column.startswith(f"{name}_"):
                events[column] = events[column][order]


@contextmanager
def _named_damage(path: str) -> Iterator[None]:
    """Turn whatever a reader raises on a bad file into one line that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; check the column `files` of the sample table"
        ) from error
    except ImportError as error:
        raise InputError(f"{path}: {_first_line(error)}") from error
    except MemoryError:
        raise
    # Damaged bytes can surface as nearly any exception of uproot or a decompressor.
    except Exception as error:
        raise InputError(
            f"{path}: truncated, damaged or not a ROOT file "
            f"({type(error).__name__}: {_first_line(error)}); make or fetch it again"
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "no details")
