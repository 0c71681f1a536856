"""``lesion-test`` on the command line: its figures and maps are the library's; what it cannot do it says in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.measures.lesion_test import try_lesion
from LDCTDenoiseLib.measures.signal_kept import Lesion
from LDCTDenoiseLib.simulation.lesion_map import map_slice
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.commands.test_command_line import CORONAL, Outcome, Run, assert_refused, body, contents, run, save, voxels_of

__all__ = ["run"]  # a fixture

SPACING = (0.75, 0.8)
"""Rows and columns of ``save``."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save(tmp_path / "in.nrrd", body(3, 96, 100))


def test_figures_are_the_librarys_for_each_diameter(run: Run, tiny_model: Path, source: Path) -> None:
    options = ("--contrast", 30, "--diameter", 4, 9, "--model", tiny_model, "--device", "cpu", "--blend", 0.6)
    told = json.loads(run("lesion-test", source, "--at", "52,47,1", *options, "--json").out)
    assert (told["slice"], told["row"], told["column"], told["device"]) == (1, 47, 52, "cpu")
    assert "map" not in told
    denoise = Denoiser(tiny_model, "cpu", blend=0.6)
    scan = read_volume(source).hu
    for answer, diameter in zip(told["answers"], (4, 9), strict=True):
        expected = try_lesion(denoise, scan, (1, 47, 52), Lesion(30, diameter / 2), SPACING)
        assert (answer.pop("contrast"), answer.pop("diameter")) == (30, diameter)
        assert answer == pytest.approx(expected.figures, rel=1e-4)
    printed = run("lesion-test", source, "--at", "52,47,1", *options).out.splitlines()
    assert printed[0] == "+30 HU at slice 1, row 47, column 52"
    assert [line.split()[:2] for line in printed[2:]] == [["4", "mm"], ["9", "mm"]]
    assert printed[2].split()[2] == f"{100 * told['answers'][0]['signal_kept']:.0f}"


def test_a_place_in_mm_is_the_same_place_whatever_the_files_orientation(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    voxels = body(96, 5, 100).astype(np.int16)
    voxels[:] = body(1, 96, 100)[0][:, None, :]
    source = save(tmp_path / "coronal.nrrd", voxels, CORONAL)
    image = sitk.ReadImage(str(source))
    x, y, z = image.TransformIndexToPhysicalPoint((52, 2, 47))
    options = ("--model", tiny_model, "--device", "cpu", "--axis", 1, "--json")
    by_voxel = run("lesion-test", source, "--at", "52,2,47", *options)
    by_mm = run("lesion-test", source, f"--at={-x:.3f},{-y:.3f},{z:.3f}", *options)
    told = json.loads(by_voxel.out)
    assert (told["slice"], told["row"], told["column"]) == (2, 47, 52)
    assert json.loads(by_mm.out) == told


@pytest.mark.parametrize("suffix", [".nrrd", pytest.param(".nii.gz", marks=pytest.mark.slow)])
def test_the_map_is_two_volumes_of_one_slice_at_its_place(
    run: Run, tiny_model: Path, tmp_path: Path, source: Path, suffix: str
) -> None:
    kept, left = tmp_path / f"kept{suffix}", tmp_path / f"kept_noise_left{suffix}"
    before = source.read_bytes()
    options = ("--diameter", 5, 9, "--model", tiny_model, "--device", "cpu", "--map", kept)
    outcome = run("lesion-test", source, "--at", "52,47,2", *options, "--json")
    assert source.read_bytes() == before
    assert sorted(contents(tmp_path)) == sorted(["in.nrrd", kept.name, left.name])
    scan = read_volume(source).hu
    expected = map_slice(Denoiser(tiny_model, "cpu"), scan, 2, Lesion(-20, 2.5), SPACING, seed=2)
    told = json.loads(outcome.out)["map"]
    assert (told["places"], told["diameter"]) == (len(expected.places), 5)
    for name, path, values in (("signal_kept", kept, expected.signal_kept), ("noise_left", left, expected.noise_left)):
        assert values is not None
        image = sitk.ReadImage(str(path))
        assert image.GetSize() == (100, 96, 1)
        assert image.GetOrigin() == pytest.approx(sitk.ReadImage(str(source)).TransformIndexToPhysicalPoint((0, 0, 2)), abs=1e-4)
        np.testing.assert_allclose(voxels_of(path)[0], np.nan_to_num(expected.image(values), nan=-1), atol=1e-4)
        assert told[name]["file"] == str(path)
        assert told[name]["median"] == pytest.approx(np.median(values), abs=1e-4)
    assert not np.array_equal(voxels_of(kept), voxels_of(left))
    assert voxels_of(kept)[0, 0, 0] == voxels_of(left)[0, 0, 0] == -1
    printed = run("lesion-test", source, "--at", "52,47,2", *options, "--overwrite").out
    assert f"signal kept at {told['places']} places: median {100 * told['signal_kept']['median']:.0f} %" in printed
    assert f"noise left there: median {100 * told['noise_left']['median']:.0f} %" in printed


LUNG = np.random.default_rng(0).normal(-700, 20, (1, 96, 96)).astype(np.int16)
WITHOUT_NOISE = np.pad(np.full((1, 64, 64), 50, np.int16), ((0, 0), (16, 16), (16, 16)))


@pytest.mark.parametrize("voxels", [LUNG, WITHOUT_NOISE], ids=["lung", "no noise"])
def test_noise_left_that_cannot_be_measured_is_said_and_its_file_is_empty(
    run: Run, tiny_model: Path, tmp_path: Path, voxels: np.ndarray
) -> None:
    source = save(tmp_path / "in.nrrd", voxels)
    options = ("--model", tiny_model, "--device", "cpu", "--force", "--map", tmp_path / "map.nrrd")
    outcome = run("lesion-test", source, "--at", "48,48,0", *options)
    assert outcome.code == 0, outcome.err
    assert "noise left: not measured, for no uniform soft tissue near this slice shows the scan's own noise" in outcome.out
    assert (voxels_of(tmp_path / "map.nrrd") > 0).any()
    assert (voxels_of(tmp_path / "map_noise_left.nrrd") == -1).all()
    told = json.loads(run("lesion-test", source, "--at", "48,48,0", *options, "--overwrite", "--json").out)
    assert told["map"]["noise_left"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--at", "52,47,9"), "There is no voxel at slice 9, row 47, column 52: the scan has 3 slices of 96 x 100"),
        (("--at", "1,1,1"), "There is air at row 1, column 1 of slice 1; choose a place inside the body."),
        (("--at=nan,0.0,1.0",), "give three numbers"),
        (("--at=1e300,0.0,1.0",), "lies outside the volume; choose a place inside the body"),
        (("--at", "52,47,1", "--diameter", "1e6"), "would cross the border of the image"),
        (("--at", "52,47,1", "--model", "nonsense"), "There is no model 'nonsense'"),
        (("--at", "52,47,1", "--series", "1.2.3"), "in.nrrd is a volume file"),
        (("--at", "52,47,1", "--map", "map.png"), "must be a volume file"),
        (("--at", "52,47,1", "--map", "map"), "must be a volume file"),
        (("--at", "52,47,1", "--map", "nowhere/map.nrrd"), "does not exist; create it first"),
        (("--at", "52,47,1", "--map", "in.nrrd"), "is the input itself"),
        (("--at", "52,47,1", "--map", "in.nrrd", "--overwrite"), "is the input itself"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    run: Run,
    tiny_model: Path,
    tmp_path: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    model = () if "--model" in arguments else ("--model", str(tiny_model))
    outcome = run("lesion-test", source, *arguments, *model, "--device", "cpu", "--quiet")
    assert_refused(outcome, words, 2 if "must be a volume file" in words else 1)
    assert contents(tmp_path) == before


def test_a_second_map_that_is_there_is_not_replaced_unasked(run: Run, tiny_model: Path, tmp_path: Path, source: Path) -> None:
    other = save(tmp_path / "map_noise_left.nrrd", body(1, 8, 8))
    before = other.read_bytes()
    outcome = run("lesion-test", source, "--at", "52,47,1", "--model", tiny_model, "--map", tmp_path / "map.nrrd")
    assert_refused(outcome, "map_noise_left.nrrd exists")
    assert other.read_bytes() == before
    assert not (tmp_path / "map.nrrd").exists()


def test_a_map_that_came_meanwhile_is_not_replaced_unasked(
    run: Run, tiny_model: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Denoiser.__call__

    def let_it_come(self: Denoiser, hu: np.ndarray, **how: Any) -> np.ndarray:
        (tmp_path / "map.nrrd").write_text("mine")
        return compute(self, hu, **how)

    monkeypatch.setattr(Denoiser, "__call__", let_it_come)
    map_of = ("lesion-test", source, "--at", "52,47,1", "--model", tiny_model, "--quiet", "--map", tmp_path / "map.nrrd")
    assert_refused(run(*map_of), "map.nrrd was made meanwhile")
    assert (tmp_path / "map.nrrd").read_text() == "mine"
    run(*map_of, "--overwrite")
    assert voxels_of(tmp_path / "map.nrrd").shape == (1, 96, 100)


def test_what_is_no_ct_is_refused_unless_forced(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "mr.nrrd", body(2, 96, 96) + 2000)
    options = ("--at", "48,48,0", "--model", tiny_model, "--device", "cpu", "--quiet")
    assert_refused(run("lesion-test", source, *options), "HU")
    assert run("lesion-test", source, *options, "--force").code == 0
    assert_refused(run("lesion-test", tmp_path / "nothing.nrrd", *options), "nothing.nrrd does not exist")


@pytest.mark.parametrize("place", ["1,2", "1,2,3,4", "a,b,c", "1.5,2", ""])
def test_a_place_that_is_none_is_a_mistake_of_usage(run: Run, source: Path, place: str) -> None:
    outcome: Outcome = run("lesion-test", source, f"--at={place}")
    assert outcome.code == 2
    assert "is no place: give a voxel such as 256,200,40 or mm such as 12.0,-30.5,-410.0" in outcome.err
