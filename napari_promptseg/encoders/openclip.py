"""Any OpenCLIP model as an `Encoder`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from napari_promptseg.encoders.dense import check_mode
from napari_promptseg.encoders.device import is_out_of_memory
from napari_promptseg.encoders.encoder import Familiarity, Quality
from napari_promptseg.encoders.fallback import FallsBackToCpu
from napari_promptseg.encoders.families import ImageTower, wrap_tower
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.encoders.fingerprint import fingerprint
from napari_promptseg.encoders.stages import StagedTower, no_stages
from napari_promptseg.encoders.text import TextTower, Tokenizer
from napari_promptseg.encoders.windows import Window, grid_by_area, grid_by_short_side, resized, windows
from napari_promptseg.errors import InputError
from napari_promptseg.progress import Progress, silent

#: One resized pass works at this many pixels a side (area kept), or the model's own size if that is more.
FAST_SIDE = {True: 336, False: 448}
#: The final pass: pixels on the shorter side, as a multiple of the fast one.
FINE_FACTOR = {True: 1.0, False: 1.5}
#: The final pass never has more cells than this many times the fast one.
MOST_CELLS = 8
#: Windows encoded together.
WINDOW_BATCH = 4

#: Where OpenCLIP's defaults are not overridden by a model's own preprocessing.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class LoadedModel:
    """A model read from disk, with what is needed to use it.

    Parameters
    ----------
    name : str
        As the user chose it.
    model : torch.nn.Module
        On the CPU, in evaluation mode.
    tokenizer : callable
    configuration : dict
        OpenCLIP's ``model_cfg``, or other plain facts that make the model what it is.
    licence, source : str
        For provenance; empty where not known.
    """

    name: str
    model: Any
    tokenizer: Tokenizer
    configuration: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    source: str = ""


class OpenClipEncoder(FallsBackToCpu):
    """A frozen OpenCLIP model (see `encoders.encoder.Encoder` for the interface).

    Parameters
    ----------
    loaded : LoadedModel
    device : torch.device
    dense_mode : str, optional
        One of the family's modes; its default where not given.

    Attributes
    ----------
    image_tower : ImageTower
    text_tower : TextTower
    notices : list of str
        What the user should know, such as that a full GPU made it go on with the CPU.

    Raises
    ------
    ModelError
        If the family is not supported.
    InputError
        If the dense mode does not fit the family.
    """

    def __init__(self, loaded: LoadedModel, device: torch.device, dense_mode: str | None = None) -> None:
        model = loaded.model.eval().requires_grad_(False)
        self.name = loaded.name
        self.image_tower: ImageTower = wrap_tower(model.visual, loaded.name)
        self.dense_mode = check_mode(
            dense_mode or self.image_tower.default_mode, self.image_tower.modes, self.image_tower.family
        )
        self.text_tower = TextTower(model, loaded.tokenizer)
        preprocess = getattr(model.visual, "preprocess_cfg", None) or {}
        mean, std = preprocess.get("mean") or _MEAN, preprocess.get("std") or _STD
        self._mean = torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1)
        self._std = torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1)
        self.logit_scale = float(model.logit_scale.exp())
        bias = getattr(model, "logit_bias", None)
        self.logit_bias = 0.0 if bias is None else float(bias)
        self.sigmoid = bias is not None
        settings = {"model": loaded.configuration, "mode": self.dense_mode, "mean": mean, "std": std, "version": 1}
        self.fingerprint = fingerprint(model.state_dict(), settings)
        self.notices: list[str] = []
        self._loaded = loaded
        self._model = model
        self.device = torch.device("cpu")
        self.embedding_dim = int(self.text_tower.encode(["a"]).shape[1])
        try:
            self._move(device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._fall_back(device)

    def encode_plane(
        self, picture: npt.NDArray[np.uint8], *, quality: Quality = "fast", progress: Progress = silent
    ) -> DenseFeatures:
        """Encode one ``(Y, X, 3)`` uint8 picture of any size and aspect.

        Parameters
        ----------
        picture : numpy.ndarray
        quality : {"fast", "fine"}
            One pass over the resized picture, or overlapping windows of the model's own size, whose features are
            averaged (transformers), or a larger single pass (convolutional towers).
        progress : callable
            Called between passes.

        Returns
        -------
        DenseFeatures
            The picture is resized to whole cells, so the grid covers it exactly. `detail` and `pooled` come from the
            single pass in either quality.

        Raises
        ------
        InputError
            If the picture is not ``(Y, X, 3)`` uint8 or the quality is unknown.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
            raise InputError(f"A picture must be (Y, X, 3) uint8, not {picture.shape} {picture.dtype}.")
        if quality not in ("fast", "fine"):
            raise InputError(f"There is no quality {quality!r}: choose fast or fine.")
        return self._or_on_cpu(lambda: self._encode(picture, quality, progress))

    def stages(self) -> StagedTower:
        """The image tower stage by stage; `ModelError` for a family that is not made of transformer blocks."""
        from napari_promptseg.encoders.families.tokens import TokenTower
        from napari_promptseg.encoders.token_stages import TokenStages

        if not isinstance(self.image_tower, TokenTower):
            raise no_stages(self.name)
        return TokenStages(self.image_tower, self.dense_mode, self._whole)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed finished sentences: ``(n, d)`` float32 on `device`, each row of unit length."""
        return self._or_on_cpu(lambda: self.text_tower.encode(texts))

    def familiarity(self, names: Sequence[str]) -> list[tuple[Familiarity, tuple[str, ...]]]:
        """``"not judged"`` for every name.

        A caption model brings no list of the names it learned. What its text tower alone could tell, and what the
        spread of its scores could, would have to be calibrated against measured masks of that very model first;
        a badge without that would be a guess.
        """
        return [("not judged", ()) for _ in names]

    def describe(self) -> dict[str, Any]:
        """Plain facts for provenance."""
        height, width = (n * self.image_tower.stride for n in self.image_tower.native_grid)
        return {
            "name": self.name,
            "family": self.image_tower.family,
            "dense_mode": self.dense_mode,
            "fingerprint": self.fingerprint,
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "licence": self._loaded.licence,
            "source": self._loaded.source,
            "input_size": [height, width],
            "embedding_dim": self.embedding_dim,
            "device": str(self.device),
        }

    def _encode(self, picture: npt.NDArray[np.uint8], quality: Quality, progress: Progress) -> DenseFeatures:
        shape = picture.shape[0], picture.shape[1]
        native, side = self.image_tower.native_grid, self._side
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self.device).permute(2, 0, 1)[None].float() / 255
        fast_grid = grid_by_area(shape, side * side)
        parts: list[Window] = []
        fine_grid = fast_grid
        if quality == "fine":
            short = round(side * FINE_FACTOR[self.image_tower.windowed])
            fine_grid = grid_by_short_side(shape, short, MOST_CELLS * side * side)
            parts = windows(fine_grid, native if self.image_tower.windowed else fine_grid)
        total = 1 + len(parts)
        progress(0, total, "Encoding the picture")
        with torch.no_grad():
            whole = self.image_tower.extract(self._prepared(pixels, fast_grid), self.dense_mode)
            semantic = functional.normalize(whole.semantic[0].float(), dim=-1)
            progress(1, total, "Encoding the picture")
            if parts:
                semantic = self._encode_windows(self._prepared(pixels, fine_grid), fine_grid, parts, progress)
            detail = standardised(whole.detail[0].float())
        return DenseFeatures(semantic, detail, whole.pooled[0].float(), shape, self.fingerprint)

    def _encode_windows(
        self, pixels: torch.Tensor, grid: tuple[int, int], parts: list[Window], progress: Progress
    ) -> torch.Tensor:
        total = torch.zeros(*grid, self.embedding_dim, device=pixels.device)
        step = self.image_tower.stride
        for start in range(0, len(parts), WINDOW_BATCH):
            batch = parts[start : start + WINDOW_BATCH]
            crops = [
                pixels[0, :, p.row * step : (p.row + p.height) * step, p.column * step : (p.column + p.width) * step]
                for p in batch
            ]
            features = self.image_tower.extract(torch.stack(crops), self.dense_mode).semantic.float()
            for p, cells in zip(batch, functional.normalize(features, dim=-1), strict=True):
                total[p.row : p.row + p.height, p.column : p.column + p.width] += cells
            progress(1 + start + len(batch), 1 + len(parts), "Encoding windows")
        return functional.normalize(total, dim=-1)

    def _whole(self, picture: npt.NDArray[np.uint8]) -> torch.Tensor:
        """What the single pass of `encode_plane` reads: ``(1, 3, y, x)``."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self.device).permute(2, 0, 1)[None].float() / 255
        return self._prepared(pixels, grid_by_area((picture.shape[0], picture.shape[1]), self._side**2))

    @property
    def _side(self) -> float:
        """Cells a side of the single pass over a square picture."""
        tower = self.image_tower
        return max(FAST_SIDE[tower.windowed], min(tower.native_grid) * tower.stride) / tower.stride

    def _prepared(self, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        resized_pixels = resized(pixels, grid[0] * self.image_tower.stride, grid[1] * self.image_tower.stride)
        return (resized_pixels - self._mean) / self._std

    def _move(self, device: torch.device) -> None:
        self._model.to(device)
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        self.device = device


def standardised(levels: torch.Tensor) -> torch.Tensor:
    """Channels ``(c, h, w)`` to ``(h, w, c)`` with mean 0 and deviation 1 over the picture; constant ones are 0."""
    centred = levels - levels.mean(dim=(1, 2), keepdim=True)
    deviation = centred.pow(2).mean(dim=(1, 2), keepdim=True).sqrt()
    return (centred / deviation.clamp_min(1e-6)).permute(1, 2, 0).contiguous()
