"""Memory that a training frees stays with its process."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import os
import sys
import numpy as np
from cwolaflow.learning.memory import keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

if sys.argv[1] == "kept":
    assert keep_freed_memory()
tensors = [np.ones(50_000_000, np.float32), np.ones(10, np.float32)]
with_tensor = resident()
del tensors[0]
print(with_tensor - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.parametrize("memory", ["kept", "given back"])
def test_freed_memory_is_kept(memory):
    command = [sys.executable, "-c", SCRIPT, memory]
    freed = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert freed < 20e6 if memory == "kept" else freed > 180e6
