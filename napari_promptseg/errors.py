"""Errors that a person reads: each message is one sentence saying what was wrong and what to do."""

from __future__ import annotations


class PromptSegError(Exception):
    """Base of every error this package raises on purpose.

    Its text is shown as it is in the widget and on the command line.
    """


class InputError(PromptSegError, ValueError):
    """An image, class list, setting or file given by the user cannot be used."""


class ModelError(PromptSegError, RuntimeError):
    """A model cannot be found, fetched, read or is of a family that is not supported."""


class OutputError(PromptSegError, OSError):
    """A result cannot be written, for example because the disk is full."""


class CancelledError(PromptSegError):
    """Work was stopped at the user's request; what was finished before stays valid."""
