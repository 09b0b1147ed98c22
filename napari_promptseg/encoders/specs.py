"""How a model is named by the user, and where its files are."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from napari_promptseg.encoders.torchvision_bridge import open_clip_module
from napari_promptseg.errors import ModelError

#: Where a model comes from.
SpecKind = Literal["directory", "hub", "tag", "checkpoint", "random"]

#: Seconds to wait for a connection before the network counts as absent.
NETWORK_PATIENCE = 2.0

_WEIGHTS = ("*.safetensors", "*.bin", "*.pth", "*.pt")
#: Extra files with these names in a model directory are no OpenCLIP weights.
_SIDECARS = ("alignment.safetensors",)


@dataclass(frozen=True)
class ModelSpec:
    """A parsed model name.

    Parameters
    ----------
    kind : SpecKind
    model : str
        OpenCLIP's name, hub id or directory.
    weights : str
        Tag or checkpoint file; empty for the others.
    """

    kind: SpecKind
    model: str
    weights: str = ""


def parse_spec(spec: str) -> ModelSpec:
    """Read ``MODEL/TAG``, ``MODEL/random``, ``MODEL@FILE``, ``hf-hub:ORG/NAME`` or ``local-dir:PATH``.

    Raises
    ------
    ModelError
        If the name is empty or of an unknown model or tag, with the nearest ones.
    """
    text = spec.strip()
    if text.startswith("local-dir:"):
        return ModelSpec("directory", os.path.expanduser(text.removeprefix("local-dir:")))
    if text.startswith("hf-hub:"):
        name = text.removeprefix("hf-hub:")
        if name.count("/") != 1 or name.startswith("/") or name.endswith("/"):
            raise ModelError(f"{spec!r} is not a hub model: write it as hf-hub:organisation/name.")
        return ModelSpec("hub", name)
    if "@" in text:
        model, _, path = text.partition("@")
        return ModelSpec("checkpoint", known_model(model), os.path.expanduser(path))
    model, slash, tag = text.rpartition("/")
    if not slash:
        name = known_model(text)
        tags = open_clip_module().list_pretrained_tags_by_model(name)
        raise ModelError(f"The model {text!r} needs a tag: choose {_some(f'{name}/{t}' for t in tags)}.")
    name = known_model(model)
    if tag == "random":
        return ModelSpec("random", name)
    # upper case differs between lists and habits; OpenCLIP compares without it
    if open_clip_module().get_pretrained_cfg(name, tag):
        return ModelSpec("tag", name, tag)
    tags = open_clip_module().list_pretrained_tags_by_model(name)
    raise ModelError(f"There are no weights {tag!r} for {name}: choose {_some(f'{name}/{t}' for t in tags)}.")


def known_model(name: str) -> str:
    """OpenCLIP's spelling of a built-in model; `ModelError` with the nearest names if it is unknown."""
    clean = name.strip().replace("/", "-")
    names: list[str] = open_clip_module().list_models()
    if clean in names:
        return clean
    near = difflib.get_close_matches(clean, names, 3, 0.5) or ["embedded"]
    raise ModelError(f"There is no model {name!r}: did you mean {' or '.join(near)}?")


def _some(names: Any, most: int = 6) -> str:
    listed = list(names)
    if not listed:
        return "another model, it has none"
    return ", ".join(listed[:most]) + (" ..." if len(listed) > most else "")


def directory_weights(directory: Path) -> Path | None:
    """The weights file OpenCLIP would load from a model directory, or None."""
    found = sorted(f for pattern in _WEIGHTS for f in directory.glob(pattern) if f.name not in _SIDECARS)
    first = [f for f in found if f.name.startswith("open_clip_")] or found
    return first[0] if first else None


def hub_file(repository: str, filename: str) -> Path | None:
    """A file of a hub repository if it is in the local cache; never touches the network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, filename)
    return Path(path) if isinstance(path, str) else None


def tag_files(model: str, tag: str) -> list[tuple[str, str]]:
    """Places ``(repository, filename)`` the weights of a tag may be cached under, best first."""
    configuration = open_clip_module().get_pretrained_cfg(model, tag) or {}
    repository, filename = os.path.split(configuration.get("hf_hub", ""))
    if not repository:
        return []
    if filename:
        alternatives = [os.path.splitext(filename)[0] + ".safetensors", filename]
    else:
        alternatives = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    return [(repository, name) for name in dict.fromkeys(alternatives)]


def cached_weights(spec: ModelSpec) -> Path | None:
    """The weights of a tag or hub model if they are on this machine; never touches the network."""
    if spec.kind == "tag":
        for repository, filename in tag_files(spec.model, spec.weights):
            if (found := hub_file(repository, filename)) is not None:
                return found
        url = (open_clip_module().get_pretrained_cfg(spec.model, spec.weights) or {}).get("url", "")
        path = Path("~/.cache/clip").expanduser() / os.path.basename(urlsplit(url).path)
        return path if url and path.is_file() else None
    if spec.kind == "hub":
        for filename in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
            if (found := hub_file(spec.model, filename)) is not None:
                return found
    return None


def network_available() -> bool:
    """Whether the model hub can be reached: a short look, instead of a library's long retries."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # the way leads through a proxy, only a real request can tell
    endpoint = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((endpoint.hostname or "", endpoint.port or 443), NETWORK_PATIENCE).close()
    except OSError:
        return False
    return True


@contextmanager
def hub_offline(offline: bool = True) -> Iterator[None]:
    """Inside, hub look-ups use the local cache only, so that a missing file is known at once."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
