"""The frozen part of trained networks as one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.models import Network


def export_graph(networks: Sequence[Network], has_feature_map: bool = False) -> bytes:
    """Write the layers up to the embedding as ONNX; several networks side by side, which look at the same pictures.

    Args:
        networks: trained, all with the same input; their embeddings are put together in this order.
        has_feature_map: also give the last map before it is pooled, the channels of all networks in the same order.

    Returns:
        The file: opset 18; input `image` float32 ("batch", C, H, W); outputs `embedding` float32 ("batch", E) and,
        where wanted, `feature_map` float32 ("batch", K, h, w).

    Raises:
        MienError: what the file gives differs from what torch gives by more than 1e-4, or maps differ in size.
    """
    raise NotImplementedError
