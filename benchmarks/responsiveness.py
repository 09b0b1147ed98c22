"""How long napari's window stands still while the dock loads a model, encodes a picture and makes masks.

A timer asks to be called every 10 ms in the window's thread; what is reported are the gaps between its calls, idle
and at work, on an otherwise quiet machine and beside one busy process per core. Needs a display (or ``xvfb-run``)
and, for the first start, no network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: What is asked of the timer, in milliseconds.
BEAT = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1024, help="side of the picture in pixels (default: 1024)")
    parser.add_argument("--rounds", type=int, default=1, help="how many fresh starts of each kind (default: 1)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure in fresh processes, since a library is imported once."""
    result: dict[str, Any] = {"size": args.size, "beat_ms": BEAT}
    for name, busy in (("quiet", 0), ("contended", os.cpu_count() or 1)):
        rounds = [_fresh(args.size, busy) for _ in range(args.rounds)]
        result[name] = {phase: _worst([r[phase] for r in rounds]) for phase in rounds[0]}
    return result


def gaps(beats: list[float]) -> dict[str, Any]:
    """Longest gap, 99th percentile and median of them in milliseconds, their number and the time they took."""
    between = np.diff(beats) * 1000
    if not len(between):
        return {"longest_ms": None, "p99_ms": None, "median_ms": None, "over_100_ms": 0, "beats": len(beats)}
    return {
        "longest_ms": round(float(between.max()), 1),
        "p99_ms": round(float(np.percentile(between, 99)), 1),
        "median_ms": round(float(np.median(between)), 1),
        "over_100_ms": int((between > 100).sum()),
        "beats": len(beats),
        "seconds": round(float(beats[-1] - beats[0]), 2),
    }


def measure(side: int) -> dict[str, dict[str, Any]]:
    """Open napari and the dock, and work as a person does; the gaps of each phase."""
    import napari
    from PIL import Image
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtWidgets import QApplication
    from skimage.data import astronaut

    from napari_promptseg.gui.dock import PromptSegmentationWidget

    viewer = napari.Viewer(show=True)
    application = QApplication.instance()
    beats: list[float] = []
    timer = QTimer(interval=BEAT, timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start()

    def during(done: Callable[[], bool], patience: float = 300.0) -> dict[str, Any]:
        beats.clear()
        end = time.perf_counter() + patience
        while not done():
            application.processEvents()
            time.sleep(0.001)  # as an event loop waits
            if time.perf_counter() > end:
                raise RuntimeError("The dock did not finish in time.")
        return gaps(beats)

    picture = np.asarray(Image.fromarray(astronaut()).resize((side, side)))
    viewer.add_image(picture, rgb=True)
    during(lambda: len(beats) > 100)  # the window is painted
    found = {"idle": during(lambda: len(beats) > 300)}
    widget = PromptSegmentationWidget(viewer)
    session = widget.session
    viewer.window.add_dock_widget(widget, name="Prompt segmentation")
    found["loading"] = during(lambda: bool(session.model_facts) and session.workbench.is_idle)
    session.add_classes("woman, rocket, flag, suit, helmet, hair, hand, wall, patch, star")
    session.live = False
    during(lambda: session.workbench.is_idle)
    session.segment()
    found["first mask"] = during(lambda: session.workbench.is_idle)
    session.live = True
    session.rename(1, "person | astronaut")
    found["renamed class"] = during(lambda: session.workbench.is_idle and len(beats) > 40)
    viewer.layers[0].data = np.ascontiguousarray(picture[::-1])
    session.segment()
    found["next picture"] = during(lambda: session.workbench.is_idle)
    timer.stop()
    widget.let_go()
    viewer.close()
    return found


def _fresh(side: int, busy: int) -> dict[str, Any]:
    """`measure` in a process of its own, with empty caches, beside `busy` others."""
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            home = dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA"), folder)
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.responsiveness", str(side)]
            done = subprocess.run(command, env={**os.environ, **home}, check=True, capture_output=True, text=True)
    finally:
        for process in spin:
            process.kill()
            process.wait()
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _worst(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    return max(rounds, key=lambda r: r["longest_ms"] or 0.0)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
