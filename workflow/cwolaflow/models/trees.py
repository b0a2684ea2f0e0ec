"""Boosted decision trees as a torch module; `learning.boosting` fits them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class BoostedTrees(nn.Module):
    r"""Sum of decision trees of high-level features, all kept in plain tensors.

    Without trees until `set_trees` or `load_state_dict`.

    Parameters
    ----------
    n_features : int
    max_leaf_nodes : int
        Leaves of a tree, at most.
    min_samples_leaf : int
        Training events in a leaf, at least.
    l2_regularization : float
        Of the leaf values.

    Attributes
    ----------
    baseline : float64 tensor, shape ()
        Logit before the first tree.
    depth : int64 tensor, shape ()
        Of the deepest tree.
    root : int64 tensor, shape (n_trees,)
        First node of every tree.
    feature, left, right : int64 tensors, shape (n_nodes,)
        Feature that a node looks at, and the nodes that follow where it is at most ``threshold``
        and where it is larger; a leaf follows itself.
    threshold, value : float64 tensors, shape (n_nodes,)
        ``value`` is what a leaf adds to the logit.
    """

    def __init__(
        self,
        n_features: int,
        max_leaf_nodes: int,
        min_samples_leaf: int,
        l2_regularization: float,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_leaf = min_samples_leaf
        self.l2_regularization = l2_regularization
        self.register_buffer("baseline", torch.zeros((), dtype=torch.float64))
        self.register_buffer("depth", torch.zeros((), dtype=torch.int64))
        for name in ("root", "feature", "left", "right"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))

    def set_trees(self, baseline: float, trees: Sequence[np.ndarray]) -> None:
        """Take over fitted trees.

        Parameters
        ----------
        baseline : float
        trees : sequence of structured ndarray, shape (n_nodes of the tree,)
            Nodes as scikit-learn keeps them: ``feature_idx``, ``num_threshold``, ``left``,
            ``right`` (places in the tree), ``value``, ``depth`` and ``is_leaf``; the root first.
        """
        sizes = np.array([len(tree) for tree in trees])
        root = np.cumsum(sizes) - sizes
        nodes, first = np.concatenate(trees), np.repeat(root, sizes)
        is_leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
        self.baseline = torch.tensor(baseline, dtype=torch.float64)
        self.depth = torch.tensor(int(nodes["depth"].max()))
        self.root = torch.from_numpy(root)
        self.feature = torch.from_numpy(np.where(is_leaf, 0, nodes["feature_idx"]).astype(np.int64))
        self.left, self.right = (
            torch.from_numpy(np.where(is_leaf, own, nodes[side] + first).astype(np.int64))
            for side in ("left", "right")
        )
        self.threshold = torch.from_numpy(nodes["num_threshold"].astype(np.float64))
        self.value = torch.from_numpy(nodes["value"].astype(np.float64))

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:
        # How many nodes there are only the file knows.
        for name in self._buffers:
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def leaf_values(self, features: Tensor) -> Tensor:
        """What every tree adds to the logit.

        Parameters
        ----------
        features : tensor, shape (n, n_features)
            Finite.

        Returns
        -------
        float64 tensor, shape (n, n_trees)
        """
        # Thresholds lie between float32 values.
        features = features.double()
        node = self.root.expand(len(features), -1)
        for _ in range(int(self.depth)):
            is_left = features.gather(1, self.feature[node]) <= self.threshold[node]
            node = torch.where(is_left, self.left[node], self.right[node])
        return self.value[node]

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, n_features) to the logit of signal, float64, shape (n, 1)."""
        return self.baseline + self.leaf_values(features).sum(1, keepdim=True)
