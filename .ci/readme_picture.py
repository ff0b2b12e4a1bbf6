"""Copy the README's picture out of chapter 00, so that what the README shows is what the chapter draws.

Usage: python readme_picture.py
"""

import base64
import json
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def main() -> None:
    """Write notebooks/map_of_digits.png: the picture of the chapter's cell that calls plots.tiles."""
    chapter = json.loads((NOTEBOOKS / "00_start_here.ipynb").read_text("utf-8"))
    (cell,) = [cell for cell in chapter["cells"] if "plots.tiles(" in "".join(cell["source"])]
    (picture,) = [output["data"]["image/png"] for output in cell["outputs"]]
    (NOTEBOOKS / "map_of_digits.png").write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    main()
