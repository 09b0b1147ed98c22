"""What was learned for a prompt set: vectors per class, the tokens they came from, and how to score with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

#: First part of the names of what regions taught (`prompts.region_concepts`).
REGION = "region"

#: Key of the background among the learned vectors; classes have values from 1.
BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class LearnedPrompts:
    """Learned vectors of a prompt set, for one model.

    Parameters
    ----------
    fingerprint, model : str
        Of the encoder they were learned with, and its name.
    views : mapping of int to numpy.ndarray
        Per class value ``(K, d)`` float32, one row per view; key 0 is the background. A class without an
        entry is scored by its words.
    global_views : mapping of int to numpy.ndarray
        Per class value ``(d,)``, the prompt that says whether the class is in the picture at all; may be empty.
    context : numpy.ndarray, optional
        ``(1 + K, m, width)`` learned tokens, the global prompt first, to embed further names with.
    scale : float
        Multiplies the model's own logit scale; 1 where no temperature was learned.
    gamma, tau : float
        Of the presence of a class in the picture, see `prompts.multiview.presence`.
    tensors, facts : mapping
        What other learners keep with the prompts (a classifier, a decoder): arrays, named ``"who/what"`` or, for
        one class, ``"who/what/3"`` with its value, and plain JSON values.

    Notes
    -----
    Two are equal if every number in them is. Arrays are made read-only.
    """

    fingerprint: str
    model: str
    views: Mapping[int, Array] = field(default_factory=dict)
    global_views: Mapping[int, Array] = field(default_factory=dict)
    context: Array | None = None
    scale: float = 1.0
    gamma: float = 0.0
    tau: float = 1.0
    tensors: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("views", "global_views", "tensors"):
            object.__setattr__(self, name, {k: _frozen(v) for k, v in getattr(self, name).items()})
        if self.context is not None:
            object.__setattr__(self, "context", _frozen(self.context))

    @cached_property
    def digest(self) -> str:
        """Hex digest of everything."""
        plain = [self.fingerprint, self.model, self.scale, self.gamma, self.tau, dict(self.facts)]
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every array under one flat name, as in a ``.promptseg`` file."""
        flat: dict[str, npt.NDArray[Any]] = {f"views/{k}": v for k, v in self.views.items()}
        flat.update({f"global/{k}": v for k, v in self.global_views.items()})
        flat.update({f"extra/{k}": v for k, v in self.tensors.items()})
        if self.context is not None:
            flat["context"] = self.context
        return flat

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LearnedPrompts) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def taught(self) -> frozenset[int]:
        """Values of what was shown to a learner, so that the model knows it whatever its name; 0 is background.

        A concept learned from regions is among them unless its words alone are in use.
        """
        own = (k for k in self.tensors if not k.startswith(f"{REGION}/"))
        return frozenset(self.views) | {v for v in map(value_of, own) if v is not None}

    def vector(self, value: int) -> Array | None:
        """``(d,)``: the mean over a class's views; None if its words stand for it.

        Since maps are products with the features, ``sum_i <F, t_i>`` is K times the product with this vector. Where
        tuning began at the words it has unit length, as theirs has.
        """
        views = self.views.get(value)
        if views is None:
            return None
        mean: Array = views.mean(axis=0, dtype=np.float32)
        return mean

    def renumbered(self, values: Mapping[int, int]) -> LearnedPrompts:
        """The same for other class values, old to new; what `values` does not hold is left out, background stays."""
        new = {BACKGROUND: BACKGROUND, **values}
        return replace(
            self,
            views={new[k]: v for k, v in self.views.items() if k in new},
            global_views={new[k]: v for k, v in self.global_views.items() if k in new},
            tensors={_renamed(k, new): v for k, v in self.tensors.items() if value_of(k) is None or value_of(k) in new},
        )

    def without(self, value: int) -> LearnedPrompts:
        """The same without one class."""
        if value not in {*self.taught, *self.global_views, *map(value_of, self.tensors)}:
            return self
        return replace(
            self,
            views={k: v for k, v in self.views.items() if k != value},
            global_views={k: v for k, v in self.global_views.items() if k != value},
            tensors={k: v for k, v in self.tensors.items() if value_of(k) != value},
        )


def value_of(name: str) -> int | None:
    """The class a tensor belongs to, by its name ``"who/what/3"``; None for one that belongs to all."""
    *before, last = name.split("/")
    return int(last) if len(before) == 2 and last.isdecimal() else None


def _renamed(name: str, values: Mapping[int, int]) -> str:
    value = value_of(name)
    return name if value is None else f"{name.rpartition('/')[0]}/{values[value]}"


def _frozen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    copy = np.array(values)
    copy.flags.writeable = False
    return copy
