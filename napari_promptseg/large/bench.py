"""What one process needs for many blocks and files, made once: model, prompts, opened pictures, features of tiles.

Kept by the digest of the `Setup`, so that tasks sent to a worker name it in a few bytes. Blocks are always computed by
one thread of arithmetic: the last bits of a sum depend on how many threads share it, and labels must not depend on how
many workers there are. A process uses several cores by working on several blocks at a time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import ModelError
from napari_promptseg.large.blocks import Block
from napari_promptseg.large.pictures import Picture, block_stack
from napari_promptseg.large.plain_encoder import PlainEncoder, suffices
from napari_promptseg.progress import Progress, silent

if TYPE_CHECKING:
    from napari_promptseg.encoders.encoder import Encoder
    from napari_promptseg.images.stack import ImageStack
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter
    from napari_promptseg.segmentation.settings import SegmentationSettings

#: Features of tiles kept in memory, in megabytes: most of those that a block shares with the one above it in a strip.
_FEATURES_MB = 256.0

#: Setups a process keeps; a worker of a shared cluster may serve several people.
_MOST_SETUPS = 2


@dataclass(frozen=True)
class Setup:
    """All that a worker is told once.

    Parameters
    ----------
    model, device : str
        As `load_encoder` takes them.
    fingerprint : str
        Of the model; a worker that has another one refuses.
    prompts : bytes
        A ``.promptseg`` file.
    settings : SegmentationSettings
    """

    model: str
    device: str
    fingerprint: str
    prompts: bytes
    settings: SegmentationSettings

    @classmethod
    def of(cls, segmenter: Segmenter, prompts: PromptSet, *, model: str = "", device: str = "") -> Setup:
        """The setup with which workers do what this segmenter does.

        Parameters
        ----------
        segmenter : Segmenter
        prompts : PromptSet
        model, device : str, optional
            As they were asked for; the encoder's own where not given.
        """
        from napari_promptseg.prompts.prompt_file import SavedPrompts, save_prompts

        encoder = segmenter.encoder
        with tempfile.TemporaryDirectory(prefix="promptseg-") as folder:
            saved = SavedPrompts(prompts, encoder.name, encoder.fingerprint)
            content = save_prompts(Path(folder) / "prompts", saved).read_bytes()
        return cls(
            model or encoder.name, device or str(encoder.device), encoder.fingerprint, content, segmenter.settings
        )

    @functools.cached_property
    def digest(self) -> str:
        """Hex digest of what decides the labels: prompts, model and settings, and the kind of device."""
        facts = [self.fingerprint, self.device.split(":")[0], self.settings.as_dict()]
        digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16)
        digest.update(self.prompts)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Labelled:
    """A finished block on its way to where it is written.

    Parameters
    ----------
    block : int
    labels : numpy.ndarray
        ``(y, x)`` uint8 or uint16.
    counts : dict of int to int
        Label value to number of pixels.
    seconds : float
    worker : str
        Address, or process id.
    """

    block: int
    labels: npt.NDArray[Any]
    counts: dict[int, int]
    seconds: float
    worker: str


class Bench:
    """One process's share of a setup.

    Parameters
    ----------
    setup : Setup
    encoder : Encoder, optional
        Loaded on first use where not given.
    """

    def __init__(self, setup: Setup, encoder: Encoder | None = None) -> None:
        from napari_promptseg.encoders.cache import FeatureCache

        self.setup = setup
        self.cache = FeatureCache(_FEATURES_MB)
        self._encoder = encoder
        self._prompts: PromptSet | None = None
        self._opened: tuple[Picture, ImageStack] | None = None
        self._settled: tuple[Picture, PromptSet] | None = None
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._own = threading.local()

    def segmenter(self) -> Segmenter:
        """The calling thread's segmenter for whole files."""
        from napari_promptseg.segmentation.segmenter import Segmenter

        if not hasattr(self._own, "segmenter"):
            self._own.segmenter = Segmenter(self.encoder(), settings=self.setup.settings)
        segmenter: Segmenter = self._own.segmenter
        return segmenter

    def block_segmenter(self) -> Segmenter:
        """The calling thread's segmenter for blocks; those of all threads share the features of tiles."""
        from napari_promptseg.segmentation.segmenter import Segmenter

        if not hasattr(self._own, "blocks"):
            encoder: Any = self.encoder()
            if suffices(self.prompts()):
                encoder = PlainEncoder(encoder)
            # also a block that would fit in one pass is encoded in the picture's own tiles
            settings = replace(self.setup.settings, whole_up_to=self.setup.settings.tile_size)
            self._own.blocks = Segmenter(encoder, settings=settings, cache=self.cache)
        segmenter: Segmenter = self._own.blocks
        return segmenter

    def encoder(self) -> Encoder:
        """The model, loaded once.

        Raises
        ------
        ModelError
            If it is not there, or is another version than the one that was asked for.
        """
        with self._lock:
            if self._encoder is None:
                self._encoder = _loaded(self.setup.model, self.setup.device)
            if self._encoder.fingerprint != self.setup.fingerprint:
                raise ModelError(
                    f"A worker has another version of the model {self.setup.model!r} "
                    f"({self._encoder.fingerprint[:8]}) than this program ({self.setup.fingerprint[:8]}): "
                    "install the same release and the same model files on both."
                )
            return self._encoder

    def prompts(self) -> PromptSet:
        """What is looked for, unpacked once."""
        from napari_promptseg.prompts.prompt_file import load_prompts

        with self._lock:
            if self._prompts is None:
                with tempfile.TemporaryDirectory(prefix="promptseg-") as folder:
                    file = Path(folder) / "prompts.promptseg"
                    file.write_bytes(self.setup.prompts)
                    self._prompts = load_prompts(file).prompts
            return self._prompts

    def stack(self, picture: Picture) -> ImageStack:
        """The picture, opened once.

        Raises
        ------
        InputError
            If the worker does not see the file.
        """
        with self._lock:
            if self._opened is None or self._opened[0] != picture:
                self._opened = (picture, picture.open())
            return self._opened[1]

    def prompts_for(self, picture: Picture) -> PromptSet:
        """What is looked for, with what depends on the whole picture found out once; see `whole_picture`."""
        from napari_promptseg.large.whole_picture import depends_on_whole, sample, settled
        from napari_promptseg.segmentation.segmenter import Segmenter

        prompts, stack = self.prompts(), self.stack(picture)
        if not depends_on_whole(prompts) or len(stack.present) > 1:
            return prompts
        with self._settling:
            if self._settled is None or self._settled[0] != picture:
                settings = replace(self.setup.settings, whole_up_to=self.setup.settings.tile_size)
                looking = Segmenter(self.encoder(), settings=settings)
                self._settled = (picture, settled(prompts, sample(looking, stack, picture)))
            return self._settled[1]

    def label_block(self, picture: Picture, number: int, worker: str = "", progress: Progress = silent) -> Labelled:
        """Segment one block.

        Parameters
        ----------
        picture : Picture
        number : int
            Of the block in the picture's plan.
        worker : str
            Said in the result; the process id where not given.
        progress : Progress
            A chance to stop between tiles.
        """
        start = time.perf_counter()
        segmenter = self.block_segmenter()
        _one_thread(segmenter.encoder.device)
        prompts = self.prompts_for(picture)
        block: Block = picture.plan[number]
        stack = block_stack(self.stack(picture), picture, block)
        segmenter.set_image(stack, modalities="all", progress=progress)
        labels = np.ascontiguousarray(segmenter.segment(prompts, progress=progress).labels[block.part])
        seconds = time.perf_counter() - start
        return Labelled(number, labels, pixels_of(labels), seconds, worker or str(os.getpid()))


def pixels_of(labels: npt.NDArray[Any]) -> dict[int, int]:
    """Label value to number of pixels; counted row by row, for NumPy counts with eight bytes per pixel."""
    found = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    for row in labels:
        found += np.bincount(row, minlength=len(found))
    return {int(value): int(found[value]) for value in np.flatnonzero(found)}


_benches: OrderedDict[str, Bench] = OrderedDict()
_encoders: OrderedDict[tuple[str, str], Any] = OrderedDict()
_guard = threading.RLock()


def lay_out(setup: Setup, encoder: Encoder | None = None) -> Bench:
    """Make this process ready for a setup; does nothing where it is."""
    with _guard:
        if setup.digest not in _benches:
            _benches[setup.digest] = Bench(setup, encoder)
            while len(_benches) > _MOST_SETUPS:
                _benches.popitem(last=False)
        return _benches[setup.digest]


def bench_of(digest: str) -> Bench:
    """The bench that was laid out for a setup."""
    with _guard:
        return _benches[digest]


def clear_away(digest: str) -> None:
    """Forget a setup; its model stays loaded for the next."""
    with _guard:
        _benches.pop(digest, None)


def _loaded(model: str, device: str) -> Encoder:
    from napari_promptseg.encoders.loading import load_encoder

    with _guard:
        if (model, device) not in _encoders:
            while len(_encoders) >= _MOST_SETUPS:
                _encoders.popitem(last=False)
            _encoders[model, device] = load_encoder(model, device=device)
        encoder: Encoder = _encoders[model, device]
        return encoder


def _one_thread(device: Any) -> None:
    """See the module's text; a thread has its own number, so every thread that works on blocks asks."""
    import torch

    if str(device).startswith("cpu") and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
