"""Pile-up: minimum-bias towers laid over the towers of hard events."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from cwolaflow.errors import ConfigError, InputError
from cwolaflow.files import open_parquet
from cwolaflow.kinematics import wrap_phi
from cwolaflow.philox import integers, philox, uniform
from cwolaflow.representation.jagged import gather, read_lists

TOWER_COLUMNS = ("tower_et", "tower_eta", "tower_phi")
TOWERS_IN_MEMORY = 2**21
"""Overlaid towers at a time; each takes some 200 bytes until it is in its pixel."""

COUNT_STREAM, OVERLAY_STREAM = 0, 1


class PileUp:
    """Draws minimum-bias events and lays their towers over hard events.

    A hard event gets N ~ Poisson(mean) events of the library, drawn with replacement. Each is
    rotated by a uniform φ of its own, since minimum bias prefers none, and, as the beams are
    alike, reflected in η with probability 1/2. What an event gets depends on the seed and on its
    ``event_id`` alone; with a larger mean it keeps what it had and gets more.

    Overlaid are detected towers: energy below the threshold of a tower is lost in each collision
    by itself. Jets, missing momentum and tracks stay those of the hard event.

    Parameters
    ----------
    library : str or Path
        From `pile_up_library.build_library`; held in memory, 12 bytes a tower.
    mean : float
        Mean number of overlaid events, at least 0.
    seed : int
        Seed of this sample's draws, in [0, 2⁶⁴).
    reflect : bool
        Whether to reflect in η.

    Raises
    ------
    InputError
        The library is missing, damaged, no library or without events.
    ConfigError
        The mean is negative or not finite.
    """

    def __init__(self, library: str | Path, mean: float, seed: int, reflect: bool = True) -> None:
        if not 0 <= mean < math.inf:
            raise ConfigError(f"'pile_up.mean' is {mean}; it must be a finite number from 0 up")
        with open_parquet(library) as file:
            if file.metadata.num_rows == 0:
                raise InputError(f"{library}: has no minimum-bias events; make it again")
        _, self._offsets, towers = read_lists([library], TOWER_COLUMNS)
        self._et, self._eta, self._phi = towers.values()
        self._n_library = len(self._offsets) - 1
        self._key = (seed, 0)
        self._reflect = reflect
        # Importing it takes longer than building a small sample; most have no pile-up.
        from scipy.special import pdtr

        # Beyond this number the probability is far below the 2⁻⁵³ of a uniform double.
        self._cumulative = pdtr(np.arange(int(mean + 12 * math.sqrt(mean)) + 40), mean)
        self._towers_per_event = mean * len(self._et) / self._n_library

    @classmethod
    def configured(
        cls, settings: Mapping[str, Any], library: str | Path | None, seed: int | None
    ) -> Self | None:
        """Make the pile-up of an image or set; None where it has no key ``pile_up``.

        Raises
        ------
        ConfigError
            The key is there, but library or seed is not given.
        """
        if "pile_up" not in settings:
            return None
        pile_up = settings["pile_up"]
        if library is None or seed is None:
            raise ConfigError(
                f"'pile_up.library': {pile_up['library']!r} is configured, but its file or a seed "
                "is not given; give both or remove 'pile_up'"
            )
        return cls(library, pile_up["mean"], seed, pile_up["reflect"])

    def batch_events(self, largest: int) -> int:
        """Number of hard events at a time, at most ``largest``, whose overlay fits in memory."""
        return max(1, min(largest, int(TOWERS_IN_MEMORY / max(self._towers_per_event, 1))))

    def counts(self, event_id: np.ndarray) -> np.ndarray:
        """Draw the number of overlaid events.

        Parameters
        ----------
        event_id : ndarray of int64, shape (n,)
            Hard events.

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        word, *_ = philox(self._key, (event_id, 0, COUNT_STREAM, 0))
        return np.searchsorted(self._cumulative, uniform(word), side="right")

    def overlay(
        self, event_id: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draw the overlaid towers, flat.

        Parameters
        ----------
        event_id : ndarray of int64, shape (n,)
            Hard events.

        Returns
        -------
        rows : ndarray of int64, shape (n_towers,)
            Position in ``event_id``, rising.
        et : ndarray of float32, shape (n_towers,)
            GeV, as in the library.
        eta, phi : ndarray of float64, shape (n_towers,)
            In the frame of the detector; φ in [-π, π).
        """
        counts = self.counts(event_id)
        event = np.repeat(np.arange(len(event_id)), counts)
        place = np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)
        words = philox(self._key, (event_id[event], place, OVERLAY_STREAM, 0))
        drawn = integers(words[0], self._n_library)
        rotation = 2 * np.pi * uniform(words[1])
        sign = np.where(self._reflect & (uniform(words[2]) < 0.5), -1.0, 1.0)
        row, _, entry = gather(self._offsets, drawn)
        phi = wrap_phi(self._phi[entry] + rotation[row])
        return event[row], self._et[entry], self._eta[entry] * sign[row], phi

    def add(
        self,
        event_id: np.ndarray,
        rows: np.ndarray,
        et: np.ndarray,
        eta: np.ndarray,
        phi: np.ndarray,
    ) -> list[np.ndarray]:
        """Append the overlaid towers to those of the hard events.

        Parameters
        ----------
        event_id : ndarray of int64, shape (n,)
            Hard events.
        rows, et, eta, phi : ndarray, shape (n_towers,)
            Their towers: position in ``event_id``, E_T in GeV and direction in the frame of the
            detector.

        Returns
        -------
        rows, et, eta, phi : ndarray
            First the given towers, then the others; within an event in the same order whatever
            the other events are.
        """
        parts = zip((rows, et, eta, phi), self.overlay(event_id), strict=True)
        return [np.concatenate(part) for part in parts]
