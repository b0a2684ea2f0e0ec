"""Training of classifiers, cross-fit over folds, and their evaluation."""

import os

# Read by torch at its first tensor: where the kernel gives huge pages on request, clearing the
# memory of each step's large tensors costs a training little instead of a sixth of its time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
