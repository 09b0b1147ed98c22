"""Text-free inference: a concept's vector made for each image from the image's own class token.

The student of CoTexNet's self-adding-noise distillation (He et al., Engineering 2026), a small network beside the
unified embedding: what it adds is a residual, so that without a reason to the contrary it stays there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_concepts import inference_of, key, region_values

_LAYERS = ("first.weight", "first.bias", "second.weight")


class TextFreeStudent(nn.Module):
    """From class tokens to vectors of one concept.

    Parameters
    ----------
    teacher, centre : torch.Tensor
        ``(d,)`` unit vectors: the unified embedding, and the mean class token of the images it was learned from.
    width : int
        Of the hidden layer.

    Notes
    -----
    ``e_v = norm(e_t + second(GELU(first(token - centre))))``; the last layer begins at zero.
    """

    teacher: torch.Tensor
    centre: torch.Tensor

    def __init__(self, teacher: torch.Tensor, centre: torch.Tensor, width: int = 16) -> None:
        super().__init__()
        self.register_buffer("teacher", teacher.detach().clone())
        self.register_buffer("centre", centre.detach().clone())
        self.first = nn.Linear(len(teacher), width)
        self.second = nn.Linear(width, len(teacher), bias=False)
        nn.init.zeros_(self.second.weight)

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        """Unit vectors ``(n, d)`` for class tokens ``(n, d)``."""
        seen = F.normalize(token.float(), dim=-1) - self.centre
        return F.normalize(self.teacher + self.second(F.gelu(self.first(seen))), dim=-1)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Everything by what it is, as a region concept keeps it."""
        return {f"student-{name}": value.detach().cpu().numpy() for name, value in self.state_dict().items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> TextFreeStudent:
        """Rebuild one from `tensors`; `InputError` if they are damaged."""
        try:
            own = {n: torch.from_numpy(np.array(tensors[f"student-{n}"])) for n in ("teacher", "centre", *_LAYERS)}
            made = cls(own["teacher"], own["centre"], own["first.weight"].shape[0])
            made.load_state_dict(own)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise InputError("The text-free student in the prompt file is damaged: draw the regions again.") from error
        return made.eval().requires_grad_(False)


def image_vectors(prompts: PromptSet, class_vectors: list[torch.Tensor], features: DenseFeatures) -> list[torch.Tensor]:
    """Class vectors ``(m, d)`` with those of text-free concepts made for this image.

    Parameters
    ----------
    prompts : PromptSet
    class_vectors : list of torch.Tensor
        In the order of the classes, those of unified embeddings among them.
    features : DenseFeatures
        Of the image.

    Raises
    ------
    InputError
        If what was learned is damaged.
    """
    learned = prompts.learned
    free = [] if learned is None else [v for v in region_values(prompts) if inference_of(prompts, v) == "text-free"]
    places = {c.value: i for i, c in enumerate(prompts.classes)}
    out = list(class_vectors)
    for value in free:
        assert learned is not None
        if value not in places or value not in learned.views:
            continue
        mark = f"/{value}"
        own = {k[len("region/") : -len(mark)]: t for k, t in learned.tensors.items() if k.endswith(mark)}
        student = TextFreeStudent.from_tensors(own).to(features.pooled.device)
        gain = float(learned.tensors[key("gain", value)][0])
        moved = student(features.pooled[None])[0] - student.teacher
        row = out[places[value]]
        out[places[value]] = row + gain * moved.to(row)
    return out
