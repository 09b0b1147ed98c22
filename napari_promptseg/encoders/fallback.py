"""What an encoder does when the memory of its device is full: it goes on with the CPU, and says so."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import torch

from napari_promptseg.encoders.device import is_out_of_memory

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class FallsBackToCpu(ABC):
    """Base of encoders that can move.

    Attributes
    ----------
    notices : list of str
        What the user should know: one sentence when the CPU took over.
    """

    name: str
    device: torch.device
    notices: list[str]

    @abstractmethod
    def _move(self, device: torch.device) -> None:
        """Bring all weights to a device and set `device`."""

    def _or_on_cpu(self, work: Callable[[], Result]) -> Result:
        """Do the work; if the device's memory is full, do it again on the CPU."""
        try:
            return work()
        except RuntimeError as error:
            if not is_out_of_memory(error) or self.device.type == "cpu":
                raise
            full = self.device
        # outside the handler, so that the traceback no longer holds what filled the memory
        self._fall_back(full)
        return work()

    def _fall_back(self, full: torch.device) -> None:
        self._move(torch.device("cpu"))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        notice = f"The memory of {full} is full: {self.name} goes on with the CPU, which is slower."
        self.notices.append(notice)
        _log.warning(notice)
