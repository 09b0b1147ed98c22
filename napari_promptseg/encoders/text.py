"""Text towers with places for learned tokens.

A sentence may hold slots, ``"a photo of a <slot><slot> cat."``: places of their own in the sequence of token
embeddings, which learned vectors fill. A slot never stands for a word of the user's.

The library's own forward pass computes every embedding. For slots, a hook on the token embedding puts the learned
vectors where the slots are; so the same code serves CLIP's causal towers, SigLIP's non-causal ones that read the last
token, and BERT-like towers.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from napari_promptseg.errors import InputError, ModelError

#: Marks one place for a learned token in a sentence.
SLOT = "<slot>"

#: Sentences per forward pass.
BATCH = 64

#: Pairs of words that stand in for a slot while a sentence is split into tokens: one token each in any vocabulary.
_STAND_INS = (("x", "q"), ("z", "j"), ("dog", "cat"))

#: Turns sentences into ids ``(n, context)``.
Tokenizer = Callable[..., torch.Tensor]


class TextTower:
    """The frozen text tower of an OpenCLIP model.

    Parameters
    ----------
    model : torch.nn.Module
        ``CLIP``, ``CustomTextCLIP`` or ``CoCa``; its parameters should not require gradients.
    tokenizer : callable
        ``tokenizer(list of str, context_length=...)`` to ids ``(n, context)``.

    Attributes
    ----------
    slot_width : int
        Length of a learned token.
    context_length : int
        Most tokens of a sentence, marks of beginning and end included.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        self._model = model
        self._tokenizer = tokenizer
        tower = getattr(model, "text", model)
        self._tower = tower
        transformer: Any = getattr(tower, "transformer", None)
        self._language_model = hasattr(transformer, "get_input_embeddings")
        embedding = transformer.get_input_embeddings() if self._language_model else tower.token_embedding
        if not isinstance(embedding, nn.Embedding):
            raise ModelError(f"The text tower {type(tower).__name__} is of a family that is not supported.")
        self._embedding = embedding
        self.slot_width = int(embedding.embedding_dim)
        self.context_length = int(getattr(tokenizer, "context_length", None) or model.context_length)
        self._lock = threading.Lock()

    @property
    def causal(self) -> bool:
        """Whether a token sees only those before it."""
        return not self._language_model and getattr(self._tower, "attn_mask", None) is not None

    @property
    def trims(self) -> bool:
        """Whether tokens after the longest sentence's end can be left out without changing the result.

        They can where the end is read and sees nothing behind it (causal towers), and where padding is masked
        (BERT-like towers). They cannot where all tokens see each other or the last one is read (SigLIP, and
        MobileCLIP's non-causal towers), nor for CoCa, whose class token comes last.
        """
        if self._language_model:
            return True
        reads_end = getattr(self._tower, "text_pool_type", getattr(self._tower, "pool_type", "")) in ("argmax", "eos")
        return self.causal and reads_end and getattr(self._tower, "cls_emb", None) is None

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed finished sentences.

        Parameters
        ----------
        texts : sequence of str
            In any language; longer ones than the context are cut at its end.

        Returns
        -------
        torch.Tensor
            ``(n, d)`` float32, rows of unit length.

        Raises
        ------
        InputError
            If a text is empty or only blanks.
        """
        _check(texts)
        parts = []
        with torch.no_grad():
            for start in range(0, len(texts), BATCH):
                ids = self._ids(texts[start : start + BATCH])
                parts.append(self._forward(ids, None, None))
        return torch.cat(parts) if parts else torch.zeros(0, self._width_out(), device=self._embedding.weight.device)

    def encode_with_slots(self, texts: Sequence[str], slots: torch.Tensor | None) -> torch.Tensor:
        """Embed sentences whose ``<slot>`` places are filled by learned tokens; differentiable in `slots`.

        Parameters
        ----------
        texts : sequence of str
            Each with the same number m of ``<slot>`` marks, anywhere.
        slots : torch.Tensor or None
            ``(n, m, slot_width)``, or ``(m, slot_width)`` for the same in every sentence; None if m is 0.

        Returns
        -------
        torch.Tensor
            ``(n, d)`` float32, rows of unit length.

        Raises
        ------
        InputError
            If a text is empty, the marks do not match `slots`, or a sentence is too long for its slots.
        """
        _check(texts)
        counts = {text.count(SLOT) for text in texts}
        wanted = 0 if slots is None else int(slots.shape[-2])
        if counts != {wanted}:
            raise InputError(
                f"The sentences hold {sorted(counts)} {SLOT} marks but {wanted} learned tokens were given: "
                "each sentence needs one mark per token."
            )
        if slots is None:
            return self._batched(self._ids(texts), None, None)
        if slots.shape[-1] != self.slot_width:
            raise InputError(f"Learned tokens have {slots.shape[-1]} numbers; this model needs {self.slot_width}.")
        if slots.ndim == 2:
            slots = slots[None].expand(len(texts), -1, -1)
        if slots.shape[0] != len(texts):
            raise InputError(f"There are learned tokens for {slots.shape[0]} sentences but {len(texts)} sentences.")
        ids, places = self._ids_with_slots(texts)
        return self._batched(ids, places, slots.to(self._embedding.weight))

    def token_vectors(self, word: str) -> torch.Tensor:
        """The tower's own token embeddings of a word: ``(m, slot_width)``, to start learned tokens from."""
        _check([word])
        x, q, around, inside = self._ids(["x", "q", "x x", f"x {word} x"])
        begin = int(torch.nonzero(x != q)[0]) + 1
        ids = inside[begin : begin + _length(inside) - _length(around)]
        return self._embedding.weight[ids].detach().clone()

    def copied_to(self, device: torch.device) -> TextTower:
        """The same tower on another device, without the image tower.

        Weights are copied straight there, so that nothing more is needed where they are: that memory may be full.
        """
        model = self._model
        with self._lock:  # no hook of a forward pass is copied with it
            text: Any = [m for name, m in model.named_children() if name != "visual"]
            tensors = {id(t): t for m in text for t in (*m.parameters(), *m.buffers())}
            tensors.update((id(t), t) for t in (*model.parameters(recurse=False), *model.buffers(recurse=False)))
            there: dict[int, Any] = {key: _copied(t, device) for key, t in tensors.items()}
            if hasattr(model, "visual"):
                there[id(model.visual)] = nn.Identity()
            return TextTower(copy.deepcopy(model, there), self._tokenizer)

    def _batched(self, ids: torch.Tensor, places: torch.Tensor | None, slots: torch.Tensor | None) -> torch.Tensor:
        parts = []
        for start in range(0, len(ids), BATCH):
            part = slice(start, start + BATCH)
            parts.append(
                self._forward(
                    ids[part], None if places is None else places[part], None if slots is None else slots[part]
                )
            )
        return torch.cat(parts)

    def _forward(self, ids: torch.Tensor, places: torch.Tensor | None, slots: torch.Tensor | None) -> torch.Tensor:
        swapped: dict[str, torch.Tensor] = {}
        if self.trims:
            length = self._used(ids)
            ids = ids[:, :length]
            places = None if places is None else places[:, :length]
            if not self._language_model:
                swapped["positional_embedding"] = self._tower.positional_embedding[:length]
                swapped["attn_mask"] = self._tower.attn_mask[:length, :length]

        def fill(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
            if slots is None or places is None:
                return None
            filled = torch.zeros_like(output).masked_scatter(places[..., None], slots)
            return torch.where(places[..., None], filled, output)

        with self._lock:
            handle = None if slots is None else self._embedding.register_forward_hook(fill)
            try:
                result = self._called(ids, swapped)
            finally:
                if handle is not None:
                    handle.remove()
        return functional.normalize(result.float(), dim=-1)

    def _called(self, ids: torch.Tensor, swapped: dict[str, torch.Tensor]) -> torch.Tensor:
        """The library's own pass, with some of its tensors replaced for this call."""
        inputs = (None, ids) if self._tower is self._model else (ids,)
        # going over every parameter, as a replacement does, takes longer than a short sentence
        result: Any = functional_call(self._tower, swapped, inputs) if swapped else self._tower(*inputs)
        if isinstance(result, dict):
            result = result["text_features"]
        elif isinstance(result, tuple):
            result = result[1 if self._tower is self._model else 0]
        embedded: torch.Tensor = result
        return embedded

    def _used(self, ids: torch.Tensor) -> int:
        """Tokens up to the end of the longest sentence."""
        if self._language_model:
            used = torch.ne(ids, self._tower.config.pad_token_id)
            return int((used * torch.arange(1, ids.shape[1] + 1, device=ids.device)).max())
        pool = getattr(self._tower, "text_pool_type", getattr(self._tower, "pool_type", ""))
        if pool == "argmax":
            return int(ids.argmax(dim=-1).max()) + 1
        end: Any = getattr(self._tower, "text_eos_id", getattr(self._tower, "eos_id", None))
        return int(torch.eq(ids, int(end)).int().argmax(dim=-1).max()) + 1

    def _ids(self, texts: Sequence[str]) -> torch.Tensor:
        ids = self._tokenizer(list(texts), context_length=self.context_length)
        return ids.to(self._embedding.weight.device)

    def _width_out(self) -> int:
        return int(self.encode(["a"]).shape[1])

    def _ids_with_slots(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids ``(n, context)`` with one token per slot, and where the slots are (bool, same shape).

        Every sentence is split twice, with two different one-token words in the slots: the slots are where the ids
        differ. So nothing is assumed about the tokenizer, and the stand-ins may well occur among the user's words.
        """
        wanted = texts[0].count(SLOT)
        for first, second in _STAND_INS:
            ids, others = (self._ids([_filled(t, word) for t in texts]) for word in (first, second))
            places = ids != others
            if bool((places.sum(dim=1) == wanted).all()):
                return ids, places
        longest = max(texts, key=len)
        raise InputError(
            f"The sentence {longest!r} is too long: its learned tokens do not all fit into the model's "
            f"{self.context_length} tokens, shorten it."
        )


def _copied(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    values = tensor.detach().to(device, copy=True)
    return nn.Parameter(values, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else values


def _filled(text: str, word: str) -> str:
    return " ".join(text.replace(SLOT, f" {word} ").split()) if SLOT in text else text


def _length(ids: torch.Tensor) -> int:
    """Tokens before the padding; the last column is left out, some tokenizers keep a class token there."""
    body = ids[:-1]
    return int(torch.nonzero(body != body[-1]).max()) + 1


def _check(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise InputError("Texts are given as a list: wrap the sentence in [ ].")
    for text in texts:
        if not text.replace(SLOT, "x").strip():
            raise InputError("A text is empty: give at least one word.")
