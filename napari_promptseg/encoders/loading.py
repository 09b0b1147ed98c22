"""From a model's name to an `Encoder`: embedded, built-in with a tag, hub, local directory or checkpoint file."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from napari_promptseg.encoders.device import choose_device
from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.openclip import LoadedModel, OpenClipEncoder
from napari_promptseg.encoders.specs import (
    ModelSpec,
    cached_weights,
    directory_weights,
    hub_file,
    hub_offline,
    network_available,
    parse_spec,
    tag_files,
)
from napari_promptseg.encoders.torchvision_bridge import open_clip_module
from napari_promptseg.errors import ModelError
from napari_promptseg.resource_files import resource

_MEANWHILE = "the embedded model works now"
_CONFIGURATION = "open_clip_config.json"


def load_encoder(spec: str = "embedded", *, device: str = "auto", dense_mode: str | None = None) -> Encoder:
    """Load a model.

    Parameters
    ----------
    spec : str
        ``"embedded"``; ``"MODEL/TAG"``, a built-in OpenCLIP name with a tag (``"ViT-B-16-quickgelu/openai"``);
        ``"hf-hub:organisation/name"``; ``"local-dir:PATH"``, an OpenCLIP directory; ``"MODEL@FILE"``, a built-in name
        with a checkpoint file; ``"MODEL/random"``, random weights for tests and timings.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    dense_mode : str, optional
        How patch features are made (see `encoders.dense`); the family's default where not given.

    Returns
    -------
    Encoder

    Raises
    ------
    ModelError
        If the model is unknown, its files are missing or damaged, or its family is not supported.
    InputError
        If the device or the dense mode is unknown.
    """
    target = choose_device(device)
    if spec.strip() in ("embedded", ""):
        name, parsed = "embedded", ModelSpec("directory", str(resource("embedded")))
    else:
        name, parsed = spec.strip(), parse_spec(spec)
    if parsed.kind == "directory":
        directory = Path(parsed.model)
        if (directory / "alignment.safetensors").is_file():
            from napari_promptseg.encoders.aligned import AlignedEncoder

            aligned: Encoder = AlignedEncoder.from_directory(directory, device=target)
            aligned.name = name
            return aligned
    return OpenClipEncoder(load_model(parsed, name), target, dense_mode)


def load_model(spec: ModelSpec, name: str) -> LoadedModel:
    """Read the model and tokenizer a parsed name stands for, on the CPU.

    Raises
    ------
    ModelError
        See `load_encoder`.
    """
    if spec.kind == "directory":
        return load_directory(Path(spec.model), name)
    if spec.kind == "random":
        return _load_random(spec, name)
    if spec.kind == "checkpoint":
        path = Path(spec.weights)
        if not path.is_file():
            raise ModelError(f"The checkpoint file {path} does not exist: check the path; {_MEANWHILE}.")
        return _load_weights(spec, name, path)
    return _load_hub(spec, name) if spec.kind == "hub" else _load_tag(spec, name)


def load_directory(directory: Path, name: str) -> LoadedModel:
    """Read an OpenCLIP model directory without touching the network.

    The directory holds ``open_clip_config.json``, weights (``open_clip_model.safetensors`` by preference) and, for
    models with a Hugging Face text tower or tokenizer, its ``config.json`` and tokenizer files.

    Raises
    ------
    ModelError
        Saying which file is missing or damaged.
    """
    open_clip = open_clip_module()
    if not directory.is_dir():
        raise ModelError(f"The model directory {directory} does not exist: check the path; {_MEANWHILE}.")
    configuration = _read_configuration(directory / _CONFIGURATION)
    weights = directory_weights(directory)
    if weights is None:
        raise ModelError(
            f"The model directory {directory} holds no weights: put open_clip_model.safetensors there; {_MEANWHILE}."
        )
    model_configuration = configuration["model_cfg"]
    keywords: dict[str, Any] = {}
    if model_configuration["text_cfg"].get("hf_model_name"):
        if not (directory / "config.json").is_file():
            raise ModelError(
                f"The model directory {directory} lacks config.json, which describes its text tower: "
                "copy it there from the text model."
            )
        keywords["text_cfg"] = {
            **model_configuration["text_cfg"],
            "hf_model_name": str(directory),
            "hf_model_pretrained": False,
        }
    with hub_offline(), _readable(weights), _without_open_clip_noise():
        model = open_clip.create_model(f"local-dir:{directory}", require_pretrained=True, **keywords)
    with hub_offline(), _readable(directory / "tokenizer.json", "tokenizer files"), _without_open_clip_noise():
        tokenizer = open_clip.get_tokenizer(f"local-dir:{directory}")
    return LoadedModel(name, model, tokenizer, configuration, str(configuration.get("licence", "")), str(directory))


def _read_configuration(path: Path) -> dict[str, Any]:
    try:
        configuration = json.loads(path.read_text(encoding="utf-8"))
        towers = configuration["model_cfg"]
        if not isinstance(towers["text_cfg"], dict) or not isinstance(towers["vision_cfg"], dict):
            raise KeyError("text_cfg and vision_cfg")
    except FileNotFoundError:
        raise ModelError(f"The model directory lacks {path.name}: expected {path}; {_MEANWHILE}.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({error}): copy it again; {_MEANWHILE}.") from error
    return dict(configuration)


def _load_tag(spec: ModelSpec, name: str) -> LoadedModel:
    open_clip = open_clip_module()
    path = cached_weights(spec)
    if path is None:
        places = tag_files(spec.model, spec.weights)
        wanted = f"{places[0][1]} of {places[0][0]}" if places else f"the weights {spec.weights!r}"
        _require_network(name, wanted, f"as a file and choose {spec.model}@FILE")
        tag = open_clip.get_pretrained_cfg(spec.model, spec.weights)
        with _fetching(name):
            path = Path(open_clip.pretrained.download_pretrained(tag))
    return _load_weights(spec, name, path)


def _load_weights(spec: ModelSpec, name: str, path: Path) -> LoadedModel:
    """A built-in configuration with weights from a file; a tag also brings its preprocessing and activation."""
    open_clip = open_clip_module()
    tag = (open_clip.get_pretrained_cfg(spec.model, spec.weights) or {}) if spec.kind == "tag" else {}
    preprocess = {k: tag[k] for k in ("mean", "std", "interpolation", "resize_mode") if k in tag}
    online = spec.kind == "tag" and _needs_hub_text(spec.model) and network_available()
    with hub_offline(not online), _readable(path), _without_open_clip_noise():
        model = open_clip.create_model(
            spec.model,
            pretrained=str(path),
            require_pretrained=True,
            force_quick_gelu=bool(tag.get("quick_gelu")),
            force_preprocess_cfg=preprocess or None,
        )
    with hub_offline(not online), _readable(path, "tokenizer files"), _without_open_clip_noise():
        tokenizer = open_clip.get_tokenizer(spec.model)
    configuration = {"name": spec.model, "tag": spec.weights if tag else "", **open_clip.get_model_config(spec.model)}
    return LoadedModel(name, model, tokenizer, configuration, "", str(path))


def _needs_hub_text(model: str) -> bool:
    text = open_clip_module().get_model_config(model)["text_cfg"]
    return bool(text.get("hf_model_name") or text.get("hf_tokenizer_name"))


def _load_hub(spec: ModelSpec, name: str) -> LoadedModel:
    open_clip = open_clip_module()
    cached = cached_weights(spec) is not None and hub_file(spec.model, _CONFIGURATION) is not None
    if not cached:
        _require_network(
            name,
            f"{_CONFIGURATION} and open_clip_model.safetensors of {spec.model}",
            "in a folder and choose local-dir:FOLDER",
        )
    with hub_offline(cached), _fetching(name), _without_open_clip_noise():
        model = open_clip.create_model(f"hf-hub:{spec.model}", require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(f"hf-hub:{spec.model}")
    configuration = open_clip.get_model_config(f"hf-hub:{spec.model}")
    return LoadedModel(name, model, tokenizer, configuration, "", f"hf-hub:{spec.model}")


def _load_random(spec: ModelSpec, name: str) -> LoadedModel:
    """Random weights: the shapes and the speed of a model, for tests and timings; its answers mean nothing."""
    open_clip = open_clip_module()
    configuration = copy.deepcopy(open_clip.get_model_config(spec.model))
    with hub_offline(), _without_open_clip_noise():
        try:
            with torch.random.fork_rng(devices=[]):
                # the same on every start, so that fingerprints and timings can be compared
                torch.manual_seed(0)
                model = open_clip.create_model(spec.model, pretrained_text=False)
        except OSError as error:
            raise ModelError(f"{spec.model} needs a text tower's configuration that is not on this machine.") from error
        try:
            tokenizer = open_clip.get_tokenizer(spec.model)
        except (OSError, ValueError):
            # only a trained model needs its own vocabulary
            tokenizer = _FoldedTokenizer(open_clip.SimpleTokenizer(), configuration["text_cfg"])
    return LoadedModel(name, model, tokenizer, configuration, "", "random weights")


class _FoldedTokenizer:
    """CLIP's tokenizer with its ids folded into a smaller vocabulary; for random weights only."""

    def __init__(self, tokenizer: Any, text: dict[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = int(text.get("vocab_size", 49408))
        self.context_length = int(text.get("context_length", 77))

    def __call__(self, texts: list[str], context_length: int | None = None) -> Any:
        return self._tokenizer(texts, context_length or self.context_length) % self._vocabulary


def _require_network(name: str, wanted: str, place: str) -> None:
    if not network_available():
        raise ModelError(
            f"{name} is not on this machine and there is no network to fetch it: "
            f"connect, or bring {wanted} {place}; {_MEANWHILE}."
        )


@contextmanager
def _readable(path: Path, what: str = "weights") -> Iterator[None]:
    """Turn whatever a library raises about a file into one sentence."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # readers raise anything from KeyError to pickle errors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(
            f"The {what} of the model at {path} cannot be used: they are damaged, incomplete or of another model "
            f"({reason}); copy them again; {_MEANWHILE}."
        ) from error


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # network, hub and file errors of several libraries
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(f"{name} could not be fetched or read ({reason}); {_MEANWHILE}.") from error


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return Path(record.pathname).parent.name != "open_clip"


@contextmanager
def _without_open_clip_noise() -> Iterator[None]:
    """OpenCLIP logs on the root logger, and warns of random weights that were asked for."""
    quiet = _Quiet()
    root = logging.getLogger()
    root.addFilter(quiet)
    try:
        yield
    finally:
        root.removeFilter(quiet)
