"""Exit codes: 2 for what is wrong on the command line alone, 1 for what is wrong with files, which are looked for first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.commands.command_line import COMMANDS, main
from Testing.conftest import REPOSITORY

SCAN = "scan.nrrd"
"""A volume file that is there; so are the folder ``folder`` and an empty ``pairs.csv``."""

WRONG: dict[str, dict[str, str]] = {
    "denoise": {
        f"{SCAN}": "required: output",
        f"{SCAN} out.nrrd --device foo": "'foo' is not a device; choose auto, cuda, cuda:N, mps or cpu",
        f"{SCAN} out.nrrd --device cuda:\u00b2": "is not a device",
        f"{SCAN} out.nrrd --device cpu:1": "is not a device",
        f"{SCAN} out.nrrd --blend 70": "did you mean 0.7?",
        f"{SCAN} out.nrrd --threads 0": "whole number of at least 1",
        f"{SCAN} out.nrrd --series-number-offset 1e3": "that a SeriesNumber can be",
        f"{SCAN} out.png": "must be a volume file: .nrrd, .nii.gz, .nii, .mha",
        "folder out --provenance": "--provenance is for volume files",
        f"{SCAN} out.mhd": "must be a volume file",
    },
    "batch": {
        "folder": "required: DST",
        "folder out --jobs 0": "whole number of at least 1",
        "folder out --device tpu": "is not a device",
        "folder out --shard 2/2": "is not a shard I/N",
        "folder out --address auto": "add --engine ray",
        "folder out --levels -1": "whole number of at least 1",
    },
    "batch-report": {"": "required: DST"},
    "series": {"": "required: input"},
    "simulate": {
        f"{SCAN} out.nrrd": "required: --dose",
        f"{SCAN} out.nrrd --dose 0": "'0' is no dose",
        f"{SCAN} out.nrrd --dose 25": "did you mean 0.25?",
        f"{SCAN} out.nrrd --dose nan": "not a number from 0 to 1",
        f"{SCAN} out.nrrd --dose 0.5 --seed -1": "whole number of at least 0",
        f"{SCAN} out.png --dose 0.5": "must be a volume file",
    },
    "lesion-test": {
        f"{SCAN}": "required: --at",
        f"{SCAN} --at 3,3": "is no place",
        f"{SCAN} --at 3,3,1 --diameter 0": "'0' is no length",
        f"{SCAN} --at 3,3,1 --diameter 8 nan": "'nan' is no length",
        f"{SCAN} --at 3,3,1 --diameter wide": "'wide' is no length",
        f"{SCAN} --at 3,3,1 --contrast 0": "'0' is no contrast",
        f"{SCAN} --at 3,3,1 --contrast inf": "'inf' is no contrast",
        f"{SCAN} --at 3,3,1 --map map.png": "must be a volume file",
    },
    "data": {
        "": "required: ACTION",
        "download": "required: --out",
        "download --out d --anatomy legs": "is not a list of abdomen and chest",
        "index": "required: DIR",
        "index folder --validate A,B --test B": "Patient B cannot validate and test",
    },
    "train": {
        "--config default --data folder": "required: --out",
        "--config default --data folder --out r --device foo": "is not a device",
        "--config default --data folder --out r --devices 0": "whole number of at least 1",
    },
    "adapt": {
        "folder": "required: --out",
        "folder --out mine.safetensors --minutes 0": "is not a number of minutes above 0",
    },
    "evaluate": {
        "": "Give LOW and FULL, or --pairs CSV and --out DIR",
        f"{SCAN}": "Give LOW and FULL",
        "--pairs pairs.csv": "give --out DIR",
        f"{SCAN} {SCAN} --pairs pairs.csv --out r": "leave LOW and FULL out",
        "--pairs pairs.csv --out r --model default": "give --models for a report",
        f"{SCAN} {SCAN} --out r": "give --pairs CSV",
        f"{SCAN} {SCAN} --baselines nlm": "give --pairs CSV",
        "--pairs pairs.csv --out r --dose 0": "'0' is no dose",
        "--pairs pairs.csv --out r --phantom-scans -1": "whole number of at least 0",
        "--pairs pairs.csv --out r --every 0": "whole number of at least 1",
        "--pairs pairs.csv --out r --models ,": "at least one name",
    },
    "export": {
        "default": "required: output",
        "default out.txt": "must end in .onnx",
        "out.onnx default": "Did you mean: ldctdenoise export default out.onnx?",
    },
    "figures": {
        "--pairs pairs.csv": "required: --out",
        "--pairs pairs.csv --out p --slice -5": "whole number of at least 0",
        "--pairs pairs.csv --out p --dose 0": "'0' is no dose",
    },
    "models": {"all": "unrecognized arguments: all"},
    "info": {"all": "unrecognized arguments: all"},
    "demo": {
        "--vgg-weights w.safetensors": "is for --train",
        "--device foo": "is not a device",
    },
}

MISSING = {
    "denoise no.nrrd out.png": "no.nrrd does not exist; give a volume file or a DICOM folder",
    f"denoise no.nrrd {SCAN}": f"did you mean {SCAN} as input and no.nrrd as output?",
    "batch no out": "no does not exist; give a folder or a CSV file",
    "batch no folder": "did you mean folder as input and no as output?",
    "batch-report no": "no does not exist; give the folder of a batch's outputs",
    "series no": "no does not exist; give a folder with DICOM files",
    "simulate no.nrrd out.png --dose 0.5": "no.nrrd does not exist",
    "lesion-test no.nrrd --at 1,1,1 --map map.png": "no.nrrd does not exist",
    "data index no": "no does not exist; give the folder that holds the data",
    "train --config no --data folder --out r": "There is no configuration 'no'",
    "train --config default --data no --out r": "no does not exist; give a folder of volumes or a CSV of pairs",
    "adapt no --out mine.safetensors": "no does not exist; give a volume file or a folder of scans",
    f"evaluate no.nrrd {SCAN}": "no.nrrd does not exist; give the volume to judge",
    f"evaluate {SCAN} no.nrrd": "no.nrrd does not exist; give the volume of the normal dose",
    "evaluate --pairs no.csv --out r": "no.csv does not exist; give a CSV of pairs",
    "export no out.onnx": "There is no model 'no'",
    "figures --pairs no.csv --out p": "no.csv does not exist; give a CSV of pairs",
    "demo --train no": "There is no configuration 'no'",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "pairs.csv").write_text("patient,low,full,split\n", encoding="utf-8")
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 8, 8), -500, np.int16)), SCAN)
    return tmp_path


def test_no_command_is_left_out() -> None:
    assert set(WRONG) == {command.__name__.rpartition(".")[2].replace("_", "-") for command in COMMANDS}


@pytest.mark.parametrize(
    ("line", "sentence"), [(f"{command} {line}".strip(), told) for command in WRONG for line, told in WRONG[command].items()]
)
def test_wrong_usage_is_told_with_exit_code_2(here: Path, capsys: pytest.CaptureFixture[str], line: str, sentence: str) -> None:
    before = sorted(here.rglob("*"))
    try:
        code = main(line.split())
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert sentence in told.err.splitlines()[-1]
    assert sorted(here.rglob("*")) == before


def test_a_missing_input_is_told_first_and_before_anything_heavy_is_imported(here: Path) -> None:
    """One process runs them all: what the last of them has not imported, none has."""
    code = (
        "import contextlib, io, json, sys\n"
        "from LDCTDenoiseLib.commands.command_line import main\n"
        "told = []\n"
        f"for line in {list(MISSING)!r}:\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as err: code = main(line.split())\n"
        "    told.append([line, code, err.getvalue()])\n"
        "heavy = {'torch', 'openvino', 'SimpleITK', 'scipy', 'matplotlib', 'pydicom'} & set(sys.modules)\n"
        "print(json.dumps([told, sorted(heavy)]))"
    )
    environment = {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, capture_output=True, text=True, check=True)
    told, heavy = json.loads(done.stdout)
    assert heavy == []
    for line, exit_code, err in told:
        assert (line, exit_code, err.count("\n")) == (line, 1, 1)
        assert MISSING[line] in err, line
