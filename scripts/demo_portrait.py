"""Save scikit-image's public-domain portrait (NASA, Eileen Collins) into the folder given."""

import sys
from pathlib import Path

from PIL import Image
from skimage import data

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
