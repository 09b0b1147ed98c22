"""The joint space of the embedded model: how pixels and sentences get there."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from napari_promptseg.encoders.aligned_trunk import STRIDE, Level


class JointSpace(nn.Module):
    """Frozen parts that take features and sentence embeddings into one space.

    Pixels follow ConSE (Norouzi et al., ICLR 2014): the ImageNet classifier's probabilities weigh the embeddings of
    the names.
    """

    classifier: torch.Tensor
    classifier_bias: torch.Tensor
    class_vectors: torch.Tensor
    name_vectors: torch.Tensor
    background: torch.Tensor

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, value in tensors.items():
            self.register_buffer(name, value.float())

    @classmethod
    def from_file(cls, path: Path) -> JointSpace:
        """Read the sidecar."""
        from safetensors.torch import load_file

        return cls(load_file(str(path)))

    @property
    def dimension(self) -> int:
        """Length of a joint vector."""
        return int(self.class_vectors.shape[1])

    def text(self, sentences: torch.Tensor) -> torch.Tensor:
        """Unit sentence embeddings ``(n, 384)`` to unit joint vectors ``(n, d)``; differentiable."""
        return functional.normalize(sentences, dim=-1)

    def pooled(self, embedding: torch.Tensor) -> torch.Tensor:
        """The image tower's own embedding in the joint space."""
        return embedding

    def pixels(self, levels: list[Level], size: tuple[int, int]) -> torch.Tensor:
        """``(h, w, d)`` on the stride-16 grid."""
        top = levels[-1].on_grid((size[0] // STRIDE, size[1] // STRIDE), size)
        logits = torch.einsum("chw,kc->hwk", top, self.classifier) + self.classifier_bias
        best, index = (logits / 2).softmax(-1).topk(10, dim=-1)
        conse = (best[..., None] * self.class_vectors[index]).sum(-2)
        return functional.normalize(conse, dim=-1)
