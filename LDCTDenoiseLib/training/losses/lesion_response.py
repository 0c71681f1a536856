"""Loss by the response to small signals: what the result gains when a lesion is added to the input."""

from __future__ import annotations

import torch


def lesion_response(response: torch.Tensor, lesions: torch.Tensor) -> torch.Tensor:
    """Squared error of the response to added lesions, as a share of the lesions' own square.

    0 where a lesion comes out as it went in, 1 where it is wiped out; it is the training's side of ``signal kept``
    (``measures/signal_kept.py``).

    Args:
        response: (patches, 1, rows, columns), HU: result with the lesions minus result without.
        lesions: same shape, HU; none of them zero everywhere.

    Returns:
        Mean over the patches.
    """
    dims = (1, 2, 3)
    return ((response - lesions).square().sum(dims) / lesions.square().sum(dims)).mean()
