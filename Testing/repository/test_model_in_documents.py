"""What the documents say of the shipped model's training is what the model says."""

from __future__ import annotations

import re

from LDCTDenoiseLib.models.model_info import find_model, read_info
from Testing.conftest import REPOSITORY


def test_safety_tells_the_training_of_the_shipped_model() -> None:
    page = (REPOSITORY / "docs" / "safety.md").read_text(encoding="utf-8")
    found = re.search(r"trained on (\d+) adult patients .*?dose fractions ([\d.]+) to ([\d.]+),", page, re.DOTALL)
    training = read_info(find_model("default")).training
    assert found
    assert int(found[1]) == training["patients"]["train"]
    assert [float(found[2]), float(found[3])] == training["config"]["data"]["dose_range"]


def test_the_readme_names_every_collection_of_the_card() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    sources = read_info(find_model("default")).training["config"]["sources"]
    collections = re.findall(r"[A-Z][\w-]*(?:-[A-Z]\w*)+|RIDER", sources.partition(";")[2].partition("Licence of")[0])
    assert len(collections) > 10
    for name in collections:
        assert name in readme, name
