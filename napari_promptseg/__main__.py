"""``python -m napari_promptseg`` does what ``napari-promptseg`` does."""

from napari_promptseg.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
