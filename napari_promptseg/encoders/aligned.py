"""The embedded model: an OpenCLIP directory with a sidecar that makes its features dense."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional

from napari_promptseg.encoders.aligned_space import JointSpace
from napari_promptseg.encoders.aligned_trunk import DilatedTrunk, Level, input_size, resized
from napari_promptseg.encoders.device import is_out_of_memory
from napari_promptseg.encoders.encoder import Familiarity, Quality
from napari_promptseg.encoders.fallback import FallsBackToCpu
from napari_promptseg.encoders.familiarity import nearest_names
from napari_promptseg.encoders.features import Deferred, DenseFeatures
from napari_promptseg.encoders.fingerprint import fingerprint
from napari_promptseg.encoders.specs import directory_weights
from napari_promptseg.encoders.stages import StagedTower
from napari_promptseg.encoders.text import TextTower
from napari_promptseg.encoders.torchvision_bridge import open_clip_module
from napari_promptseg.errors import InputError, ModelError
from napari_promptseg.progress import Progress, silent

CONFIG = "open_clip_config.json"
SIDECAR = "alignment.safetensors"
FACTS = "alignment.json"

#: Pixels at which a picture is read: by the one look for interaction, and by the second look of the final pass.
AREA = {"fast": 448 * 448, "fine": 640 * 640}

#: Stages whose maps make up `DenseFeatures.detail`, and the stride of its grid.
DETAIL_STAGES = (0, 1, 2, 4, 6)
DETAIL_STRIDE = 4

#: Embeddings of so many sentences are remembered, 1.5 kB each.
_MOST_SENTENCES = 4096


class JointTextTower:
    """The text tower followed by the map into the joint space; the same face as `TextTower`."""

    def __init__(self, tower: TextTower, joint: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._tower = tower
        self._joint = joint
        self.slot_width = tower.slot_width
        self.context_length = tower.context_length

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed finished sentences: ``(n, d)`` float32, rows of unit length."""
        return self._joint(self._tower.encode(texts))

    def encode_with_slots(self, texts: Sequence[str], slots: torch.Tensor | None) -> torch.Tensor:
        """Embed sentences with learned tokens, differentiably; see `TextTower.encode_with_slots`."""
        return self._joint(self._tower.encode_with_slots(texts, slots))

    def token_vectors(self, word: str) -> torch.Tensor:
        """Token embeddings of a word: ``(m, slot_width)``."""
        return self._tower.token_vectors(word)

    def copied_to(self, device: torch.device) -> JointTextTower:
        """The same tower on another device; see `TextTower.copied_to`."""
        return JointTextTower(self._tower.copied_to(device), self._joint)


class AlignedEncoder(FallsBackToCpu):
    """EfficientNet-Lite0 and MiniLM, aligned; implements `Encoder`.

    Attributes
    ----------
    text_tower : JointTextTower
        Words and learned tokens to joint-space vectors.
    preferred_templates : tuple of str
        The sentences that stand for a name, the very ones that the head was trained with. Each costs a pass of the
        text tower for every new name.
    background_words_help : bool
        False: background was trained with the head, so the default word list is not needed.
    """

    sigmoid = False
    preferred_templates = ("{}", "a picture of a {}")
    background_words_help = False

    def __init__(self, model: Any, tower: TextTower, space: JointSpace, facts: dict[str, Any], device: torch.device):
        self.name = "embedded"
        self.device = device
        self.model = model
        self.facts = facts
        self.logit_scale = float(facts["logit_scale"])
        self.logit_bias = float(facts["logit_bias"])
        self._space = space
        self._tower = tower
        self._said: dict[str, torch.Tensor] = {}
        self._lock = threading.Lock()
        self._n_parameters = sum(p.numel() for p in model.parameters())
        self.text_tower = JointTextTower(tower, space.text)
        self.embedding_dim = space.dimension
        self._trunk = DilatedTrunk(_dilated(model.visual.trunk, facts["image_tower"]), facts["mean"], facts["std"])
        self._trunk.to(device).eval()
        self.notices: list[str] = []
        self.fingerprint = fingerprint({**model.state_dict(), **space.state_dict()}, {**facts, "areas": AREA})

    @classmethod
    def from_directory(cls, path: str | Path, device: torch.device | str = "cpu") -> AlignedEncoder:
        """Load an OpenCLIP directory that holds the sidecar.

        Raises
        ------
        ModelError
            If a file is missing or cannot be read.
        """
        folder = Path(path)
        for name in (CONFIG, SIDECAR, FACTS):
            if not (folder / name).is_file():
                raise ModelError(
                    f"The embedded model is incomplete: {folder / name} is missing; reinstall napari-promptseg."
                )
        if directory_weights(folder) is None:
            raise ModelError(
                f"The embedded model is incomplete: its weights are missing in {folder}; reinstall napari-promptseg."
            )
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            model, tokenizer = open_directory(folder)
            space = JointSpace.from_file(folder / SIDECAR)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ModelError(
                f"The embedded model in {folder} cannot be read ({reason}): reinstall napari-promptseg."
            ) from error
        target = torch.device(device)
        model = model.eval().requires_grad_(False)
        encoder = cls(model, TextTower(model, tokenizer), space, facts, torch.device("cpu"))
        try:
            encoder._move(target)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            encoder._fall_back(target)
        return encoder

    def encode_plane(
        self, picture: npt.NDArray[np.uint8], *, quality: Quality = "fast", progress: Progress = silent
    ) -> DenseFeatures:
        """Encode one ``(Y, X, 3)`` uint8 picture of any size and aspect.

        ``"fast"`` is one look at the resized picture. ``"fine"`` is the mean of that look and a larger one, which
        takes about three times as long: ``docs/models.md`` has what it gains.

        Raises
        ------
        InputError
            If the picture has another shape or type.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
            raise InputError(
                f"A picture of shape {picture.shape} and type {picture.dtype} cannot be encoded: "
                "(Y, X, 3) uint8 with at least one pixel is needed."
            )
        return self._or_on_cpu(lambda: self._encode(picture, quality, progress))

    def _encode(self, picture: npt.NDArray[np.uint8], quality: Quality, progress: Progress) -> DenseFeatures:
        shape = (int(picture.shape[0]), int(picture.shape[1]))
        # the final pass is the mean of both looks, unless the picture is so small that neither enlarges it further
        sizes = list(dict.fromkeys(input_size(shape, AREA[look]) for look in AREA if look in ("fast", quality)))
        progress(0, len(sizes), "Encoding")
        levels, semantic = self._look(picture, sizes[0])
        progress(1, len(sizes), "Encoding")
        for size in sizes[1:]:
            levels, larger = self._look(picture, size)
            # scores are linear in the vectors: this is the mean of the score maps of any names
            grid = (larger.shape[0], larger.shape[1])
            spread = functional.interpolate(semantic.permute(2, 0, 1)[None], grid, mode="bilinear")[0]
            semantic = (larger + spread.permute(1, 2, 0)) / 2
            progress(2, len(sizes), "Encoding")
        # a mask from words needs neither, so that the first one need not wait for them
        detail = Deferred(lambda: _detail(levels, sizes[-1]), _detail_bytes(levels, sizes[-1]))
        pooled = Deferred(lambda: self._pooled(picture), picture.nbytes)
        return DenseFeatures(semantic, detail, pooled, shape, self.fingerprint)

    @torch.no_grad()
    def _look(self, picture: npt.NDArray[np.uint8], size: tuple[int, int]) -> tuple[list[Level], torch.Tensor]:
        levels = self._trunk.levels(resized(picture, size, self.device))
        return levels, self._space.pixels(levels, size)

    def forward_once(self, picture: npt.NDArray[np.uint8]) -> None:
        """The image tower's pass of `encode_plane` and nothing else, to measure the rest against."""
        size = input_size((int(picture.shape[0]), int(picture.shape[1])), AREA["fast"])
        with torch.no_grad():
            self._trunk.levels(resized(picture, size, self.device))

    def library_pass(self) -> Callable[[npt.NDArray[np.uint8]], None]:
        """`forward_once` by the layers of timm, as that library runs them, to measure against."""
        tower: Any = _dilated(self.model.visual.trunk, self.facts["image_tower"]).eval().to(self.device)

        @torch.no_grad()
        def forward(picture: npt.NDArray[np.uint8]) -> None:
            size = input_size((int(picture.shape[0]), int(picture.shape[1])), AREA["fast"])
            tower.forward_features(self._trunk.normalised(resized(picture, size, self.device)))

        return forward

    def stages(self) -> StagedTower:
        """The image tower stage by stage."""
        from napari_promptseg.encoders.trunk_stages import TrunkStages

        return TrunkStages(self._trunk, self._space, AREA["fast"], self.device)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed finished sentences: ``(n, d)`` float32 on `device`, each row of unit length."""
        with torch.no_grad():
            return self._or_on_cpu(lambda: self._space.text(self._sentences(texts)))

    def background_vectors(self) -> torch.Tensor:
        """The direction of "none of the classes", trained with the head: ``(1, d)``, of unit length."""
        return self._space.background()

    def familiarity(self, names: Sequence[str]) -> list[tuple[Familiarity, tuple[str, ...]]]:
        """For each bare class name, whether the model knows it, and the nearest names it learned."""
        if not names:
            return []
        with torch.no_grad():
            vectors = self._sentences(names)
        return nearest_names(
            vectors, self._space.name_vectors, self.facts["names"], at_most_related=set(self.facts["related"])
        )

    def describe(self) -> dict[str, Any]:
        """Plain facts for provenance."""
        return {
            "name": self.name,
            "family": "aligned EfficientNet-Lite0 + MiniLM",
            "fingerprint": self.fingerprint,
            "parameters": self._n_parameters,
            "licence": "Apache-2.0",
            "input_size": 448,
            "embedding_dim": self.embedding_dim,
        }

    def _sentences(self, texts: Sequence[str]) -> torch.Tensor:
        """The text tower's own embeddings ``(n, 384)``; a new class name is asked about twice, and encoded once."""
        with self._lock:
            new = [t for t in dict.fromkeys(texts) if t not in self._said]
        if new:
            vectors = self._tower.encode(new)
            with self._lock:
                self._said.update(zip(new, vectors, strict=True))
        with self._lock:
            found = [self._said.get(t) for t in texts]
            for text in list(self._said)[:-_MOST_SENTENCES]:
                del self._said[text]
        if any(v is None for v in found):
            # another thread's many names pushed ours out
            return self._tower.encode(texts)
        return torch.stack([v for v in found if v is not None])

    def _move(self, device: torch.device) -> None:
        for part in (self.model, self._space, self._trunk):
            part.to(device)
        with self._lock:
            self._said.clear()
        self.device = device

    def _pooled(self, picture: npt.NDArray[np.uint8]) -> torch.Tensor:
        side = self.model.visual.image_size[0]
        x = (resized(picture, (side, side), self.device) - self._trunk.mean) / self._trunk.std
        return self._space.pooled(self.model.encode_image(x, normalize=True)[0])


def open_directory(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer of an OpenCLIP directory; its text configuration is read from the directory too."""
    open_clip = open_clip_module()
    text = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
    text = {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}
    model = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True, text_cfg=text)
    return model, open_clip.get_tokenizer(f"local-dir:{folder}")


def _dilated(trunk: nn.Module, name: str) -> nn.Module:
    """The same layers and weights with output stride 16."""
    import timm

    other: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, output_stride=16)
    other.load_state_dict(trunk.state_dict(), strict=False)
    return other.requires_grad_(False)


def _detail_bytes(levels: list[Level], size: tuple[int, int]) -> int:
    """The larger of what `_detail` makes and what it is made from."""
    channels = sum(int(levels[stage].values.shape[0]) for stage in DETAIL_STAGES)
    made = (size[0] // DETAIL_STRIDE) * (size[1] // DETAIL_STRIDE) * channels * 2
    return max(made, sum(level.values.nelement() * level.values.element_size() for level in levels))


@torch.no_grad()
def _detail(levels: list[Level], size: tuple[int, int]) -> torch.Tensor:
    return detail_of(levels, size).half()


def detail_of(levels: list[Level], size: tuple[int, int]) -> torch.Tensor:
    """Five stages on a stride-4 grid ``(h, w, c)``, each channel standardised and each stage of equal weight."""
    grid = (size[0] // DETAIL_STRIDE, size[1] // DETAIL_STRIDE)
    parts = []
    for stage in DETAIL_STAGES:
        x = levels[stage].on_grid(grid, size)
        # of a flat channel the root has no slope
        mean, std = x.mean((1, 2), keepdim=True), x.var((1, 2), keepdim=True).clamp_min(1e-20).sqrt()
        parts.append((x - mean) / (std + 1e-5) / x.shape[0] ** 0.5)
    return torch.cat(parts).permute(1, 2, 0)
