"""Seeds of random draws, derived from the study's seed and from names."""

import hashlib
import json


def derive_seed(*parts: int | float | str) -> int:
    """Turn a study seed and names into the seed of one random draw.

    Parameters
    ----------
    *parts : int, float or str
        What tells this draw from every other one, for instance
        ``derive_seed(2008, "folds", "znunu_qcd", "SR")``. Order and type count.

    Returns
    -------
    int
        In [0, 2**63), the same on every machine and in every Python process.
    """
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
