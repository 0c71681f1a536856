"""Model files: what is written is read, and nothing else is."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from LDCTDenoiseLib.ct.hu import HUScale
from LDCTDenoiseLib.errors import ModelError
from LDCTDenoiseLib.models.cascade import SYSTEMS, Cascade
from LDCTDenoiseLib.models.model_card import card_text
from LDCTDenoiseLib.models.model_file import load_model, save_model, tensor_hash
from LDCTDenoiseLib.models.model_info import METADATA_KEY, ModelInfo, read_info, shipped_models
from Testing.conftest import random_cascade


def test_a_saved_cascade_is_loaded_whole(tmp_path: Path) -> None:
    cascade = random_cascade("Wu")
    info = ModelInfo("mine", cascade.levels, HUScale(1000, 4000), "a test", {"steps": [1]}, {"psnr": 1.5})
    written = save_model(cascade, info, tmp_path / "mine.safetensors")
    loaded, read = load_model(tmp_path / "mine.safetensors")
    assert read == written
    assert (read.name, read.scale, read.purpose, read.training, read.metrics) == (
        "mine",
        HUScale(1000, 4000),
        "a test",
        {"steps": [1]},
        {"psnr": 1.5},
    )
    assert loaded.levels == cascade.levels
    assert not loaded.training
    x = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(loaded(x), cascade(x))


def test_saving_leaves_only_the_model(tmp_path: Path, tiny_model: Path) -> None:
    cascade, info = load_model(tiny_model)
    save_model(cascade, info, tmp_path / "m.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def description(source: Path) -> dict:
    """The description in a model file, as it stands there."""
    data = source.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA_KEY])


def tamper(source: Path, target: Path, change: object) -> Path:
    """A copy of a model file whose description was changed by ``change(record)``."""
    data = source.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    record = json.loads(header["__metadata__"][METADATA_KEY])
    change(record)  # type: ignore[operator]
    header["__metadata__"][METADATA_KEY] = json.dumps(record)
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return target


def test_a_changed_tensor_is_noticed(tmp_path: Path, tiny_model: Path) -> None:
    data = bytearray(tiny_model.read_bytes())
    data[-1000] ^= 1
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(data)
    with pytest.raises(ModelError, match="do not match its hash"):
        load_model(bad)


@pytest.mark.parametrize("length", [0, 5, 8, 100, 5000, -1])
def test_a_truncated_file_is_noticed(tmp_path: Path, tiny_model: Path, length: int) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(tiny_model.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"truncated|damaged"):
        load_model(bad)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(bad)
    assert not (tmp_path / "exploded").exists()


def test_a_foreign_safetensors_file_is_named_as_such(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="another program"):
        load_model(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["levels"][0].update(predicts="difference"),
        lambda record: record["levels"][1].update(predicts="image"),
        lambda record: record["scale"].update(width=2000.0),
        lambda record: record.update(levels=record["levels"][::-1]),
        lambda record: record.update(model_hash="0" * 64),
        lambda record: record.update(tensor_hash="0" * 64),
    ],
)
def test_a_changed_description_is_noticed_without_the_tensors(tmp_path: Path, tiny_model: Path, change: object) -> None:
    bad = tamper(tiny_model, tmp_path / "bad.safetensors", change)
    with pytest.raises(ModelError, match="does not match its hash"):
        read_info(bad)
    with pytest.raises(ModelError, match="does not match its hash"):
        load_model(bad)


def as_format_1(record: dict) -> None:
    record.update(format_version=1)
    del record["model_hash"]


def test_a_file_of_format_1_is_read_with_the_same_hash(tmp_path: Path, tiny_model: Path) -> None:
    old = tamper(tiny_model, tmp_path / "tiny.safetensors", as_format_1)
    assert load_model(old)[1] == load_model(tiny_model)[1]
    assert read_info(old).model_hash == read_info(tiny_model).model_hash == description(tiny_model)["model_hash"]


def test_a_changed_description_of_format_1_shows_as_another_hash(tmp_path: Path, tiny_model: Path) -> None:
    def change(record: dict) -> None:
        as_format_1(record)
        record["levels"][0]["predicts"] = "difference"

    changed = load_model(tamper(tiny_model, tmp_path / "changed.safetensors", change))[1]
    assert changed.tensor_hash == read_info(tiny_model).tensor_hash
    assert changed.model_hash != read_info(tiny_model).model_hash


def test_a_new_purpose_or_new_figures_leave_the_hash(tmp_path: Path, tiny_model: Path) -> None:
    cascade, info = load_model(tiny_model)
    again = save_model(cascade, replace(info, purpose="another", metrics={"psnr": 1}), tmp_path / "again.safetensors")
    assert again.model_hash == info.model_hash


def test_every_shipped_model_has_the_new_format() -> None:
    assert {description(path)["format_version"] for path in shipped_models()} == {2}


def test_a_newer_format_asks_for_an_update(tmp_path: Path, tiny_model: Path) -> None:
    newer = tamper(tiny_model, tmp_path / "newer.safetensors", lambda record: record.update(format_version=3))
    with pytest.raises(ModelError, match="update ldctdenoise"):
        read_info(newer)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("levels"),
        lambda record: record.update(levels=[]),
        lambda record: record["levels"][0].update(network="os.system"),
        lambda record: record["levels"][0].update(network=["drl"]),
        lambda record: record["levels"][0].update(predicts="nothing"),
        lambda record: record["levels"][0].update(sees="previous and original"),
        lambda record: record.update(levels=record["levels"] * 9),
        lambda record: record.pop("model_hash"),
        lambda record: record["scale"].update(width=0),
        lambda record: record["scale"].update(offset=10**400),
        lambda record: record.update(scale="wide"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path: Path, tiny_model: Path, change: object) -> None:
    def change_with_the_right_hash(record: dict) -> None:
        change(record)  # type: ignore[operator]
        if "model_hash" in record:
            as_format_1(record)

    with pytest.raises(ModelError, match="cannot be understood"):
        load_model(tamper(tiny_model, tmp_path / "odd.safetensors", change_with_the_right_hash))


def test_tensors_that_do_not_fit_the_named_networks_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    cascade, info = load_model(tiny_model)
    cascade.levels = Cascade(SYSTEMS["B"]).levels
    save_model(cascade, info, tmp_path / "misfit.safetensors")
    with pytest.raises(ModelError, match="do not fit"):
        load_model(tmp_path / "misfit.safetensors")


def changed_header(source: Path, target: Path, change: Callable[[dict], object], size: int) -> Path:
    """A copy of a model file with another list of tensors, and a sparse end that gives it any size."""
    data = source.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with target.open("r+b") as file:
        file.truncate(8 + len(text) + size)
    return target


@pytest.mark.parametrize("metadata", [5, [METADATA_KEY], {METADATA_KEY: 5}, {METADATA_KEY: "[" * 200_000}])
def test_a_description_that_is_none_is_refused(tmp_path: Path, tiny_model: Path, metadata: object) -> None:
    hostile = tmp_path / "hostile.safetensors"
    changed_header(tiny_model, hostile, lambda header: header.update(__metadata__=metadata), tiny_model.stat().st_size)
    with pytest.raises(ModelError, match="cannot be understood"):
        read_info(hostile)


def test_a_tensor_of_any_size_is_refused_before_it_is_loaded(tmp_path: Path, tiny_model: Path) -> None:
    size = 2**34  # 16 GiB
    behind = tiny_model.stat().st_size
    extra = {"dtype": "U8", "shape": [size - behind], "data_offsets": [behind, size]}

    def add(header: dict) -> None:
        end = max(one["data_offsets"][1] for key, one in header.items() if key != "__metadata__")
        header["more"] = {**extra, "shape": [size - end], "data_offsets": [end, size]}

    hostile = changed_header(tiny_model, tmp_path / "hostile.safetensors", add, size)
    start = time.perf_counter()
    with pytest.raises(ModelError, match="do not fit"):
        load_model(hostile)
    assert time.perf_counter() - start < 2


def test_a_tensor_of_another_type_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    tensors = {key: tensor.double() for key, tensor in load_file(tiny_model).items()}
    told = replace(read_info(tiny_model), tensor_hash=tensor_hash({key: one.numpy() for key, one in tensors.items()}))
    record = description(tiny_model) | {"tensor_hash": told.tensor_hash, "model_hash": told.model_hash}
    save_file(tensors, tmp_path / "double.safetensors", {METADATA_KEY: json.dumps(record)})
    with pytest.raises(ModelError, match="do not fit"):
        load_model(tmp_path / "double.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_of_nan_is_refused(tmp_path: Path, tiny_model: Path, value: float) -> None:
    cascade, info = load_model(tiny_model)
    cascade.network(0).last_layer.weight.data.view(-1)[3] = value
    save_model(cascade, info, tmp_path / "bad.safetensors")
    with pytest.raises(ModelError, match="NaN or infinite"):
        load_model(tmp_path / "bad.safetensors")


def test_no_word_of_the_description_is_opened_as_a_file(tmp_path: Path, tiny_model: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")

    def point_at_secret(record: dict) -> None:
        record.update(
            purpose=str(secret), training={"data": str(secret), str(secret): [str(secret)]}, software_version=str(secret)
        )

    hostile = tamper(tiny_model, tmp_path / "hostile.safetensors", point_at_secret)
    opened: list[str] = []
    listening = True

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event in ("open", "os.listdir", "os.scandir", "import", "exec", "subprocess.Popen"):
            opened.append(f"{event} {arguments[0]}")

    sys.addaudithook(listen)
    load_model(hostile)
    listening = False
    assert [one for one in opened if "secret" in one] == []
    assert any("hostile" in one for one in opened)


def test_an_unknown_name_lists_the_shipped_models() -> None:
    with pytest.raises(ModelError, match=r"no model 'best'.*default"):
        load_model("best")


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        load_model(tmp_path)


def test_the_name_comes_from_the_file(tmp_path: Path, tiny_model: Path) -> None:
    shutil.copy(tiny_model, tmp_path / "renamed.safetensors")
    assert read_info(tmp_path / "renamed.safetensors").name == "renamed"


def test_metadata_is_stored_beside_plain_tensors(tiny_model: Path) -> None:
    assert set(load_file(tiny_model)) == set(Cascade(SYSTEMS["C"]).state_dict())


def test_every_shipped_model_loads_and_has_a_card() -> None:
    assert "default" in [path.stem for path in shipped_models()]
    for path in shipped_models():
        _, info = load_model(path)
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert info.purpose in card
        assert card == card_text(info), "the card is not the one that the model file makes"


def test_the_card_names_sources_losses_and_the_phantoms_figures() -> None:
    loss = {"mse": 1.0, "perceptual": 0.0, "adversarial": 0.5, "noise_weighted": False}
    training = {
        "config": {"sources": "Somewhere (CC BY 4.0).", "levels": [{"loss": loss, "precision": "bf16-mixed"}]},
        "patients": {"train": 4, "validate": 1},
        "data": "pairs",
        "dose_range": [0.05, 0.5],
        "device": "cpu",
        "steps": [10],
        "minutes": [1.0],
        "precision": ["32"],
    }
    phantom = {"command": "measure", "note": "of 12 scans", "columns": ["dose", "TTF50"], "rows": [["0.25", "0.97"]]}
    metrics = {"command": "measure", "note": "means", "columns": ["gain"], "rows": [["+4.00"]], "phantom": phantom}
    cascade = random_cascade("A")
    card = card_text(ModelInfo("x", cascade.levels, HUScale(1024, 4095), "a test", training, metrics))
    assert "- sources: Somewhere (CC BY 4.0).\n" in card
    assert "precision 32; loss 1 * MSE + 0.5 * Wasserstein critic\n" in card
    assert "## On the phantom\n\nMeasured by `measure`: of 12 scans\n\n| dose | TTF50 |\n| --- | --- |\n| 0.25 | 0.97 |\n" in card
