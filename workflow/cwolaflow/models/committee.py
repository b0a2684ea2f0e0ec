"""Several networks of one kind that vote."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cwolaflow.models.output import signal_logit


class Committee(nn.Module):
    """Networks that are trained one by one; the logit is the mean of theirs.

    Parameters
    ----------
    build : callable
        Gives one network; called once a member.
    members : int
    """

    def __init__(self, build: Callable[[], nn.Module], members: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(build() for _ in range(members))

    def forward(self, *arguments: Tensor) -> Tensor:
        """Map the arguments of a member to the logit of signal (n, 1)."""
        logits = torch.stack([signal_logit(member(*arguments)) for member in self.members])
        return logits.mean(dim=0)[:, None]


def members_of(model: nn.Module) -> list[nn.Module]:
    """Give the networks to train: the members of a committee, or the network itself."""
    return list(model.members) if isinstance(model, Committee) else [model]
