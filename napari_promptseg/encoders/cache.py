"""Features kept between calls and sessions: memory first, then disk, both bounded in bytes.

One entry is one safetensors file, written under a temporary name and moved into place, so that a process that is
killed while writing, or another that writes the same entry, leaves either a whole file or none under the final name.
A file that cannot be read is removed and counts as absent. When the disk is full the cache says so once and goes on in
memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import struct
import tempfile
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError

_log = logging.getLogger(__name__)

#: What an entry is looked up by: picture hash, encoder fingerprint, quality and any further settings.
Key = tuple[str, ...]

_SUFFIX = ".safetensors"
_UNFINISHED = ".part"
#: Files left under a temporary name for longer than this (seconds) were abandoned by a killed process.
_ABANDONED = 3600.0


def picture_hash(picture: npt.NDArray[Any]) -> str:
    """Hex digest of a picture's shape, type and pixels."""
    digest = hashlib.blake2b(f"{picture.shape} {picture.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def default_directory() -> Path:
    """The user's cache folder for features."""
    return Path(platformdirs.user_cache_dir("napari-promptseg", appauthor=False)) / "features"


class FeatureCache:
    """Dense features by key, the least recently used dropped first.

    Parameters
    ----------
    memory_mb : float
        Bound of the memory part in megabytes (10^6 bytes); 0 keeps nothing in memory.
    disk_dir : path, optional
        Folder of the disk part; none where not given (see `default_directory`).
    disk_mb : float
        Bound of the disk part in megabytes.
    background : bool
        Write to disk in a thread of its own, which ends its writes before the program ends: the first mask
        need not wait for them.

    Raises
    ------
    InputError
        If a bound is negative.
    """

    def __init__(
        self,
        memory_mb: float = 512.0,
        disk_dir: Path | str | None = None,
        disk_mb: float = 2000.0,
        *,
        background: bool = False,
    ) -> None:
        if memory_mb < 0 or disk_mb < 0:
            raise InputError("The size of a cache cannot be negative.")
        self._memory_bytes = int(memory_mb * 1e6)
        self._disk_bytes = int(disk_mb * 1e6)
        self._directory = None if disk_dir is None or disk_mb == 0 else Path(disk_dir)
        self._entries: OrderedDict[Key, DenseFeatures] = OrderedDict()
        self._held = 0
        self._lock = threading.RLock()
        self._said_full = False
        self._writer = ThreadPoolExecutor(1, "feature-cache") if background and self._directory is not None else None

    @property
    def memory_in_use(self) -> int:
        """Bytes held in memory."""
        return self._held

    def get(self, key: Key, device: torch.device | str | None = None) -> DenseFeatures | None:
        """The features stored under a key, or None.

        Parameters
        ----------
        key : tuple of str
        device : torch.device, optional
            Where they are wanted; where they were put, or the CPU when read from disk, if not given.
        """
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
        if found is None:
            found = self._read(key)
            if found is not None:
                self._remember(key, found)
        return found if found is None or device is None else found.to(device)

    def put(self, key: Key, features: DenseFeatures) -> None:
        """Store features; never fails, at worst nothing is kept."""
        self._remember(key, features)
        if self._writer is None:
            self._write(key, features)
        else:
            self._writer.submit(self._write, key, features)

    def flush(self) -> None:
        """Wait until everything put so far is on disk."""
        if self._writer is not None:
            self._writer.submit(int).result()

    def clear(self) -> None:
        """Forget everything, on disk too."""
        with self._lock:
            self._entries.clear()
            self._held = 0
        for path in self._files():
            _remove(path)

    def _remember(self, key: Key, features: DenseFeatures) -> None:
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._held -= old.n_bytes
            if features.n_bytes > self._memory_bytes:
                return
            self._entries[key] = features
            self._held += features.n_bytes
            while self._held > self._memory_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._held -= dropped.n_bytes

    def _path(self, key: Key) -> Path | None:
        if self._directory is None:
            return None
        return self._directory / (hashlib.blake2b(json.dumps(key).encode(), digest_size=16).hexdigest() + _SUFFIX)

    def _read(self, key: Key) -> DenseFeatures | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except OSError:
            return None  # absent, or removed by another process meanwhile
        try:
            features = _unpacked(content, key)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            _log.info("Removing the damaged cache entry %s: %s", path, error)
            _remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now: last to go
        return features

    def _write(self, key: Key, features: DenseFeatures) -> None:
        path = self._path(key)
        if path is None:
            return
        content = _packed(features, key)
        if len(content) > self._disk_bytes:
            return
        part = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(_UNFINISHED, dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(part, path)
        except OSError as error:
            if part:
                _remove(Path(part))
            self._say_full(error)
            return
        self._shrink()

    def _say_full(self, error: OSError) -> None:
        with self._lock:
            said, self._said_full = self._said_full, True
        if not said:
            _log.warning(
                "Features cannot be kept in %s (%s): they stay in memory only, until there is room again.",
                self._directory,
                error.strerror or error,
            )

    def _files(self) -> list[Path]:
        if self._directory is None:
            return []
        try:
            return [p for p in self._directory.iterdir() if p.suffix in (_SUFFIX, _UNFINISHED)]
        except OSError:
            return []

    def _shrink(self) -> None:
        """Drop the files used longest ago until the rest fits, and what killed processes left behind."""
        whole = []
        for path in self._files():
            try:
                status = path.stat()
            except OSError:
                continue  # another process was faster
            if path.suffix == _SUFFIX:
                whole.append((status.st_mtime_ns, status.st_size, path))
            elif time.time() - status.st_mtime > _ABANDONED:
                _remove(path)
        held = sum(size for _, size, _ in whole)
        for _, size, path in sorted(whole):
            if held <= self._disk_bytes:
                break
            _remove(path)
            held -= size


def _remove(path: Path) -> None:
    # another process may have removed it, or may hold it open (Windows); either way it goes later
    with contextlib.suppress(OSError):
        path.unlink()


def _packed(features: DenseFeatures, key: Key) -> bytes:
    from safetensors.torch import save

    # copies, since safetensors refuses tensors that share memory
    tensors = {
        name: getattr(features, name).detach().to("cpu", copy=True).contiguous()
        for name in ("semantic", "detail", "pooled")
    }
    content: bytes = save(tensors)
    facts = {"key": list(key), "image_shape": list(features.image_shape), "fingerprint": features.fingerprint}
    # a checksum of the body: a file cut or changed after writing must not pass for features
    facts["checksum"] = hashlib.blake2b(content, digest_size=16).hexdigest()
    header = json.dumps(facts).encode()
    return struct.pack("<Q", len(header)) + header + content


def _unpacked(content: bytes, key: Key) -> DenseFeatures:
    from safetensors.torch import load

    if len(content) < 8:
        raise ValueError("it is cut off")
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise ValueError("its header is damaged")
    facts = json.loads(content[8 : 8 + length])
    body = content[8 + length :]
    if facts["checksum"] != hashlib.blake2b(body, digest_size=16).hexdigest():
        raise ValueError("its checksum is wrong")
    if facts["key"] != list(key):
        raise ValueError("it belongs to another key")
    tensors: dict[str, torch.Tensor] = load(body)
    y, x = facts["image_shape"]
    return DenseFeatures(
        tensors["semantic"], tensors["detail"], tensors["pooled"], (int(y), int(x)), facts["fingerprint"]
    )
