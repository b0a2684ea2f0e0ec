"""Memory of a process that trains."""

import ctypes
import functools

# Parameters of `mallopt` in glibc's malloc.h.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
LARGEST = 2**31 - 1


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next tensors.

    Otherwise glibc gives blocks above 32 MB back at once, and the kernel has to clear them anew in
    every step of a training.

    Returns
    -------
    bool
        Whether there is a glibc that does so. Elsewhere nothing happens.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(set_option(MMAP_MAX, 0) and set_option(TRIM_THRESHOLD, LARGEST))
