"""A program killed in the middle: what is finished stays finished, and the rest is done once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_promptseg.label_jobs import journal_path

PROGRAM = Path(__file__).with_name("slide_program.py")


def program(workshop, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, str(PROGRAM), str(workshop.image), str(workshop.labels), str(seconds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL is a signal of POSIX")
def test_killed_at_half_and_run_again(workshop):
    journal = journal_path(workshop.labels)
    first = program(workshop, 0.1)
    try:
        give_up = time.monotonic() + 120
        while lines_of(journal) < 11:
            assert first.poll() is None, first.communicate()[1]
            assert time.monotonic() < give_up
            time.sleep(0.01)
    finally:
        first.kill()
        first.communicate()
    assert first.returncode == -9
    finished = workshop.blocks()
    assert 10 <= len(finished) < 20
    second = program(workshop, 0)
    said, complaint = second.communicate(timeout=120)
    assert second.returncode == 0, complaint
    assert int(said) == len(finished)
    # none twice, none lost, and those from before the kill stand where they stood
    assert workshop.blocks()[: len(finished)] == finished
    assert sorted(workshop.blocks()) == list(range(20))
    whole = replace(workshop, labels=workshop.labels.with_name("whole_labels.ome.zarr"))
    whole.run()
    np.testing.assert_array_equal(workshop.written(), whole.written())
