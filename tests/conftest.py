"""What every test stands on: no network, no touching of the user's own folders, data packs where there are any."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Set before anything reads them, hence at import: a home of its own, so that no test reads or fills the user's
# caches and settings, and no access to a model hub.
_HOME = Path(tempfile.mkdtemp(prefix="promptseg-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ["HOME"] = str(_HOME)
for _variable, _folder in {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "HF_HOME": ".cache/huggingface",
}.items():
    os.environ[_variable] = str(_HOME / _folder)
    (_HOME / _folder).mkdir(parents=True, exist_ok=True)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# many-core machines gain nothing on pictures of test size, and test processes side by side share the cores
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

# a shell that starts the tests in the background lets all its children ignore Ctrl-C, which some tests send
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither variables nor the keyring of whoever runs the tests lead to a larger model."""
    import napari_promptseg.concepts.multimodal.keys as keys

    for name in ("PROMPTSEG_VLM_KEY", "OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(keys, "_from_keyring", lambda origin: None)


@pytest.fixture
def server(no_keys: None) -> Iterator[Any]:
    """A larger model's server on this machine, see `endpoint_server`."""
    from endpoint_server import serving

    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_pack() -> Callable[[str], Path]:
    """Folder of a labelled data pack by name; the test is skipped, with the reason, where it is absent.

    Packs are looked for in the folder that ``PROMPTSEG_DATA`` names, else in ``../shared/data`` beside the checkout.
    """
    root = Path(os.environ.get("PROMPTSEG_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        folder = root / name
        if not folder.is_dir():
            pytest.skip(f"the data pack {name!r} is not in {root} (set PROMPTSEG_DATA)")
        return folder

    return find
