"""A program of its own that segments a slide in blocks, to be killed: image, labels, seconds per tile."""

from __future__ import annotations

import os
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent)]


def main(image: str, labels: str, seconds: str) -> None:
    """Segment, with two threads."""
    os.environ["PIXEL_ENCODER_SECONDS"] = seconds
    from large_workshop import Workshop
    from pixel_worker import SlowEncoder

    result = Workshop(Path(image), Path(labels), encoder=SlowEncoder()).run(size=2)
    print(result.kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
