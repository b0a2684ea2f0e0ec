"""What the output of a network means."""

import torch


def signal_logit(output: torch.Tensor) -> torch.Tensor:
    """Give log p/(1 - p) of the signal probability p.

    Parameters
    ----------
    output : tensor, shape (n, 1) or (n, 2)
        One logit, or the logits of background and signal before the softmax. The cross-entropy
        of a softmax over two is the binary cross-entropy of their difference.

    Returns
    -------
    tensor, shape (n,)
    """
    return output[:, 0] if output.shape[1] == 1 else output[:, 1] - output[:, 0]


def signal_score(output: torch.Tensor) -> torch.Tensor:
    """Give the signal probability, shape (n,), of a network output as in `signal_logit`."""
    return torch.sigmoid(signal_logit(output))
