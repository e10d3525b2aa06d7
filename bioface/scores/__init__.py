"""Predictions held against truth: sums of one face, scores of many, with intervals."""
