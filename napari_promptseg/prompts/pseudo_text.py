"""Pseudo-text: what a region looks like, as tokens that a text tower reads beside the words of its sentence.

The text latent-space transformation of CoTexNet (He et al., Engineering 2026): region embedding, linear layer, GELU,
linear layer, layer norm, one token in a slot of the prompt. The slot is a place of its own: no word gives way to it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.text import SLOT
from napari_promptseg.errors import InputError, ModelError
from napari_promptseg.prompts.multiview import SlotTower
from napari_promptseg.resource_files import resource

#: Follows the user's words; the tokens stand for what it names.
FRAME = "{words}, segmentation area of {slots}"

#: Of the squared map beside the names' mean squared error, where the map is fitted from words.
RIDGE = 0.03

#: Names that a map is fitted from, at least.
FEWEST_NAMES = 4


class TextTransform(nn.Module):
    """Region embeddings to tokens.

    Parameters
    ----------
    joint : int
        Length of the model's joint vectors.
    width : int
        Length of a token.
    hidden : int
        Even.
    n_tokens : int
    """

    def __init__(self, joint: int, width: int, hidden: int = 128, n_tokens: int = 1) -> None:
        super().__init__()
        if hidden < 2 or hidden % 2 or n_tokens < 1:
            raise InputError("A text transform needs an even number of hidden units and at least one token.")
        self.first = nn.Linear(2 * joint, hidden)
        self.second = nn.Linear(hidden, n_tokens * width)
        self.norm = nn.LayerNorm(width)
        self.n_tokens = n_tokens

    def forward(self, inside: torch.Tensor, around: torch.Tensor) -> torch.Tensor:
        """Tokens of regions.

        Parameters
        ----------
        inside, around : torch.Tensor
            ``(n, d)`` mean joint vectors over each region's exact pixels, and over what surrounds it.

        Returns
        -------
        torch.Tensor
            ``(n, n_tokens, width)``.
        """
        both = torch.cat([F.normalize(inside.float(), dim=-1), F.normalize(around.float(), dim=-1)], dim=-1)
        raw = self.second(F.gelu(self.first(both)))
        out: torch.Tensor = self.norm(raw.view(len(both), self.n_tokens, -1))
        return out

    @classmethod
    def from_words(cls, vectors: torch.Tensor, tokens: torch.Tensor, *, hidden: int = 128) -> TextTransform:
        """The closed-form map that needs no data: from what names mean to the tokens they are written with.

        Parameters
        ----------
        vectors : torch.Tensor
            ``(n, d)`` unit joint vectors of names.
        tokens : torch.Tensor
            ``(n, width)`` mean token embeddings of the same names.
        hidden : int

        Raises
        ------
        InputError
            If there are fewer than `FEWEST_NAMES` names.

        Notes
        -----
        Ridge regression from centred vectors to centred tokens, cut to rank ``hidden / 2``. A linear map is a case of
        this network, since ``GELU(u) - GELU(-u) = u``. It is applied to ``inside - around``: what all of a picture
        shares, and what images and texts do not, cancels.
        """
        if len(vectors) < FEWEST_NAMES or len(vectors) != len(tokens):
            raise InputError(f"A text transform is fitted from at least {FEWEST_NAMES} names, each with its tokens.")
        x, y = (t.detach().double().cpu() for t in (vectors, tokens))
        mean_token, spread = y.mean(0), y.std(0, correction=0).clamp_min(1e-6)
        x, y = x - x.mean(0), y - mean_token
        gram = x.T @ x / len(x)
        ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        left, sizes, right = torch.linalg.svd(torch.linalg.solve(gram + ridge, x.T @ y / len(x)), full_matrices=False)
        rank = min(hidden // 2, len(sizes))
        made = cls(x.shape[1], y.shape[1], hidden)
        with torch.no_grad():
            for parameter in (made.first.weight, made.first.bias, made.second.weight, made.second.bias):
                parameter.zero_()
            into = (left[:, :rank] * sizes[:rank].sqrt()).T
            out = (right[:rank].T * sizes[:rank].sqrt()).float()
            half = hidden // 2
            made.first.weight[:rank] = torch.cat([into, -into], dim=1).float()
            made.first.weight[half : half + rank] = -made.first.weight[:rank]
            made.second.weight[:, :rank], made.second.weight[:, half : half + rank] = out, -out
            made.norm.weight.copy_(spread)
            made.norm.bias.copy_(mean_token)
        return made.eval().requires_grad_(False)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Weights by name."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> TextTransform:
        """Rebuild one from `tensors`; `InputError` if they are damaged."""
        try:
            hidden, joint = tensors["first.weight"].shape
            width = tensors["norm.weight"].shape[0]
            made = cls(joint // 2, width, hidden, tensors["second.weight"].shape[0] // width)
            made.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError("The weights of the text transform are damaged: reinstall napari-promptseg.") from error
        return made.eval().requires_grad_(False)


def with_slots(words: str, n_tokens: int) -> str:
    """The user's words, untouched, followed by a phrase with places for `n_tokens` learned tokens."""
    return FRAME.format(words=" ".join(words.split()), slots=SLOT * n_tokens)


def shipped_transform(fingerprint: str) -> TextTransform | None:
    """The pre-trained transform of a model; None where there is none for it.

    Raises
    ------
    ModelError
        If its file cannot be read.
    """
    return _read_shipped().get(fingerprint)


@lru_cache(maxsize=1)
def _read_shipped() -> dict[str, TextTransform]:
    from safetensors import SafetensorError, safe_open

    found: dict[str, TextTransform] = {}
    try:
        folder = resource("pseudo_text")
    except ModelError:
        return found
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(str(path), "np") as file:
                fingerprint = (file.metadata() or {})["fingerprint"]
                found[fingerprint] = TextTransform.from_tensors({k: file.get_tensor(k) for k in list(file.keys())})
        except (OSError, KeyError, SafetensorError, InputError) as error:
            raise ModelError(f"The file {path.name!r} cannot be read: reinstall napari-promptseg.") from error
    return found


def initial_transform(encoder: Encoder, tower: SlotTower, names: Sequence[str]) -> TextTransform:
    """The pre-trained transform of a model, or one fitted from words for every other.

    Parameters
    ----------
    encoder : Encoder
    tower : SlotTower
        The encoder's.
    names : sequence of str
        Everyday names that a map is fitted from.

    Notes
    -----
    The map of a model is fitted once: it takes as long as some thirty steps of learning.
    """
    shipped = shipped_transform(encoder.fingerprint)
    if shipped is not None:
        return shipped
    key = (encoder.fingerprint, tuple(names))
    if key not in _fitted:
        _fitted.clear()
        _fitted[key] = _fit(encoder, tower, names)
    # whoever moves it to a device moves a copy
    return copy.deepcopy(_fitted[key])


_fitted: dict[tuple[str, tuple[str, ...]], TextTransform] = {}


def _fit(encoder: Encoder, tower: SlotTower, names: Sequence[str]) -> TextTransform:
    with torch.no_grad():
        vectors = encoder.encode_texts(list(names))
        tokens = torch.stack([tower.token_vectors(name).float().mean(dim=0) for name in names])
    return TextTransform.from_words(vectors, tokens)
