"""Faces, pigments and lights to scenes, renders and datasets."""
