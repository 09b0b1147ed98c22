"""A larger model in a folder of one's own, run in this program by ``transformers``."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from napari_promptseg.concepts.multimodal.crop import Crop
from napari_promptseg.concepts.multimodal.disclosure import Disclosure, disclose
from napari_promptseg.concepts.multimodal.question import Question
from napari_promptseg.concepts.multimodal.teller import NoAnswerError
from napari_promptseg.concepts.multimodal.waiting import Deadline
from napari_promptseg.errors import CancelledError, ModelError
from napari_promptseg.progress import Progress

#: Seconds for one answer, loading left out: a large model on a CPU takes minutes.
SECONDS = 600.0
#: Tokens that an answer may have.
TOKENS = 768


class LocalModel:
    """An image-text-to-text model as ``save_pretrained`` writes it.

    Nothing is fetched, no code from the folder is run, and only safetensors are read.

    Parameters
    ----------
    folder : path-like
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    seconds : float
        For one answer.
    tokens : int
        Of one answer at most.

    Raises
    ------
    ModelError
        If the folder holds no model, or transformers is missing.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, device: str = "auto", seconds: float = SECONDS, tokens: int = TOKENS
    ) -> None:
        self.folder = Path(folder).expanduser()
        self._device = device
        self._seconds = seconds
        self._tokens = tokens
        if not self.folder.is_dir():
            raise ModelError(f"There is no folder {str(folder)!r}: name one that holds a model.")
        config = self.folder / "config.json"
        try:
            values = json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(
                f"The folder {str(folder)!r} holds no model: its config.json is missing or cannot be read."
            ) from error
        if not isinstance(values, dict) or not values.get("model_type"):
            raise ModelError(
                f"The folder {str(folder)!r} holds no transformers model: config.json names no model_type."
            )
        if importlib.util.find_spec("transformers") is None:
            raise ModelError("To run a model from a folder transformers is needed: pip install transformers.")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def disclosure(self, crop: Crop | None = None) -> Disclosure:
        """Nothing leaves this machine."""
        return disclose(None, crop)

    def ask(self, crop: Crop, question: Question, progress: Progress) -> str:
        """Let the model write; see `Teller.ask`."""
        progress(0, self._tokens, f"loading {self.name}")
        processor, model = self._loaded
        try:
            return self._answer(processor, model, crop, question, progress)
        except (CancelledError, NoAnswerError):
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            # of the many kinds of model in such folders some want their input in another way
            raise NoAnswerError(f"cannot take the question ({type(error).__name__})") from error

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Processor and model."""
        from napari_promptseg.encoders.device import choose_device
        from napari_promptseg.encoders.torchvision_bridge import ensure_torchvision

        ensure_torchvision()
        transformers: Any = importlib.import_module("transformers")
        given = {"local_files_only": True, "trust_remote_code": False}
        try:
            processor = transformers.AutoProcessor.from_pretrained(self.folder, **given)
            model = transformers.AutoModelForImageTextToText.from_pretrained(
                self.folder, dtype="auto", use_safetensors=True, **given
            )
        except (OSError, ValueError, ImportError, KeyError, RuntimeError, AttributeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"The folder {str(self.folder)!r} holds no image-text-to-text model that can be loaded ({reason})."
            ) from error
        return processor, model.to(choose_device(self._device)).eval()

    def _answer(self, processor: Any, model: Any, crop: Crop, question: Question, progress: Progress) -> str:
        import torch
        from PIL import Image

        if not getattr(processor, "chat_template", None):
            raise NoAnswerError("has no chat template, so it cannot be asked")
        parts = [
            {"type": "image", "image": Image.fromarray(crop.pixels)},
            {"type": "text", "text": question.instruction()},
        ]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": parts}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device, dtype=model.dtype)
        length = inputs["input_ids"].shape[1]
        deadline = Deadline(self._seconds)

        def heard(ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            # called after every token; the listener's error ends the writing
            done = min(ids.shape[1] - length, self._tokens)
            progress(done, self._tokens, f"{self.name} writes, {done} of at most {self._tokens} tokens")
            if not deadline.left:
                raise NoAnswerError(f"did not answer within {self._seconds:g} s")
            return torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)

        with torch.inference_mode():
            written = model.generate(**inputs, max_new_tokens=self._tokens, do_sample=False, stopping_criteria=[heard])
        return str(processor.batch_decode(written[:, length:], skip_special_tokens=True)[0])
