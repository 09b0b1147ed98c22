"""How long work reports on itself and how it is stopped, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

#: Called as ``progress(done, total, description)`` between two pieces of work.
#: A listener stops the work by raising :class:`~napari_promptseg.errors.CancelledError`.
Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, description: str) -> None:
    """Report to nobody; the default listener."""
