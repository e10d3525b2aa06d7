"""Read melanin, haemoglobin, shading, light and camera from face photos."""

__version__ = "0.1.0"
