"""Boosted trees that read scores of networks beside their features."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cwolaflow.models.committee import Committee
from cwolaflow.models.jet_cnn import JetCNN
from cwolaflow.models.output import signal_logit
from cwolaflow.models.trees import BoostedTrees


def network_scores(model: nn.Module, *arguments: Tensor) -> Tensor:
    """Give what boosted trees read of a network.

    Parameters
    ----------
    model : torch.nn.Module
    *arguments : tensor
        Of the model, for n events.

    Returns
    -------
    tensor, shape (n, jets) or (n, 1)
        Signal probabilities: one a jet for a `JetCNN`, otherwise that of the event; of a
        committee, those of the mean logit of its members.
    """
    return torch.sigmoid(_logits(model, *arguments).float())


def _logits(model: nn.Module, *arguments: Tensor) -> Tensor:
    if isinstance(model, Committee):
        return torch.stack([_logits(member, *arguments) for member in model.members]).mean(0)
    if isinstance(model, JetCNN):
        return model.jet_logits(*arguments)
    return signal_logit(model(*arguments))[:, None]


class StackedTrees(nn.Module):
    """Boosted trees on features and on the mean scores of several networks.

    Parameters
    ----------
    n_features : int
        Features without the scores.
    build_network : callable
        Gives one network; called once a network.
    n_networks, n_scores : int
        Number of networks, and scores that each gives an event.
    **options
        Of `BoostedTrees`.
    """

    def __init__(
        self,
        n_features: int,
        build_network: Callable[[], nn.Module],
        n_networks: int,
        n_scores: int,
        **options: Any,
    ) -> None:
        super().__init__()
        self.n_scores = n_scores
        self.networks = nn.ModuleList(build_network() for _ in range(n_networks))
        self.trees = BoostedTrees(n_features + n_scores, **options)

    def forward(self, features: Tensor, *arguments: Tensor) -> Tensor:
        """Map features (n, n_features) and the arguments of a network to the logit (n, 1)."""
        scores = [network_scores(network, *arguments) for network in self.networks]
        return self.trees(torch.cat([features, torch.stack(scores).mean(0)], dim=1))
