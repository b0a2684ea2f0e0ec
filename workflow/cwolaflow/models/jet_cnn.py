"""Network on images of single jets, the same for every jet of an event."""

from typing import Any

from torch import Tensor, nn

from cwolaflow.models.event_cnn import EventCNN


class JetCNN(nn.Module):
    """One `EventCNN` that sees one jet at a time; the logit of an event is the mean of its jets'.

    Parameters
    ----------
    input_shape : (int, int, int, int)
        Jets, channels, rows in Δη, columns in Δφ.
    **options
        Of `EventCNN`.
    """

    def __init__(self, input_shape: tuple[int, int, int, int], **options: Any) -> None:
        super().__init__()
        self.n_jets, *shape = input_shape
        self.network = EventCNN(tuple(shape), **options)

    def jet_logits(self, images: Tensor) -> Tensor:
        """Map images (n, jets, channels, rows, columns) to one logit of signal a jet, (n, jets)."""
        return self.network(images.flatten(0, 1)).view(-1, self.n_jets)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, jets, channels, rows, columns) to the logit of signal (n, 1)."""
        return self.jet_logits(images).mean(dim=1, keepdim=True)
