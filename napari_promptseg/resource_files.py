"""Where the files shipped with the package are: inside it when installed, beside it in a source checkout."""

from __future__ import annotations

from pathlib import Path

from napari_promptseg.errors import ModelError

_PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """Path of a shipped file or folder, for example ``resource("embedded")``.

    Raises
    ------
    ModelError
        If it is in neither place, which means that the installation is incomplete.
    """
    for root in (_PACKAGE / "resources", _PACKAGE.parent / "resources"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise ModelError(
        f"The shipped file {'/'.join(parts)!r} is missing from {_PACKAGE}: "
        "the installation is incomplete, reinstall napari-promptseg."
    )
