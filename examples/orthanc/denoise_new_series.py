"""Denoise every CT series that Orthanc receives, and store the derived series back.

May be killed and started again at any moment, and so may Orthanc: see README.md. For research, not for diagnosis.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pydicom
from rest import CREDENTIALS, NotStoredError, Orthanc, OrthancError, UnreachableError
from todo import Todo

from LDCTDenoiseLib.commands.options import add_device, add_model, load_denoiser
from LDCTDenoiseLib.denoising.one_file import denoise_file
from LDCTDenoiseLib.dicom.derivation import is_derived, recipe
from LDCTDenoiseLib.dicom.find_series import MULTI_FRAME_CLASSES
from LDCTDenoiseLib.dicom.log_privacy import silence_pydicom
from LDCTDenoiseLib.errors import InputError, LDCTDenoiseError, OutputError, as_sentence
from LDCTDenoiseLib.inference.engine import Denoiser
from LDCTDenoiseLib.system.locks import Lock, open_folder, try_lock
from LDCTDenoiseLib.system.signals import Stopped, stops_like_ctrl_c

log = logging.getLogger("orthanc-recipe")

POLL_SECONDS = 2
TRIES = 3
_CHANGES_AT_ONCE = 100
# A series that was half received when Orthanc was killed never becomes news as a stable one: so new ones are watched too.
_NEWS = ("NewSeries", "StableSeries")

Image = tuple[str, str]
"""SOPInstanceUID, and number of the frame or ""."""


class Recipe:
    """Source series in, derived series out.

    Args:
        orthanc: the server.
        denoiser: the loaded model.
        work: a folder for files under way, of which only this recipe knows.
    """

    def __init__(self, orthanc: Orthanc, denoiser: Denoiser, work: Path) -> None:
        self._orthanc = orthanc
        self._denoiser = denoiser
        self._work = work
        self._made_by = recipe(denoiser.provenance((0, 0)))

    def result_of(self, series: dict[str, Any]) -> tuple[Path, list[str]] | None:
        """Where the result of a series is or will be, and of which of Orthanc's images; None when it needs none or is done.

        Args:
            series: what Orthanc says of it.

        Raises:
            OrthancError, UnreachableError: Orthanc cannot be asked.
        """
        if series["MainDicomTags"].get("Modality") != "CT" or self._is_ours(series):
            return None
        tags = self._orthanc.get(f"/series/{series['ID']}/instances-tags?simplify")
        result = self._work / self._key(tags)
        if not result.exists() and images(tags) <= self._done_of(series):
            log.info("Series %s: its derived series is there already.", series["ID"])
            return None
        return result, list(tags)

    def denoise(self, instances: list[str], result: Path) -> None:
        """Denoise images into a folder.

        Raises:
            LDCTDenoiseError: it cannot be denoised, or Orthanc not be asked.
        """
        source = self._fetch(instances)
        try:
            denoise_file(source, result, self._denoiser)
        finally:
            shutil.rmtree(source)

    def store(self, series: dict[str, Any], result: Path) -> None:
        """Store a result, and ask whether all of it is there: the same files again, whatever another run would compute.

        Raises:
            NotStoredError: Orthanc did not take all.
            OrthancError, UnreachableError: Orthanc cannot be asked.
        """
        files = sorted(result.iterdir())
        stored, refusals = 0, []
        for path in files:
            try:
                stored += self._orthanc.store(path.read_bytes())
            except NotStoredError as refusal:
                refusals.append(str(refusal))
        wanted: dict[str, set[str]] = {}
        for path in files:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "SOPInstanceUID"])
            wanted.setdefault(str(header.SeriesInstanceUID), set()).add(str(header.SOPInstanceUID))
        missing = sum(len(uids - self._orthanc.images_of(uid)) for uid, uids in wanted.items())
        if missing:
            raise NotStoredError(
                f"{missing} of {len(files)} images were not taken ({', '.join(sorted(set(refusals))) or 'lost'})"
            )
        log.info("Series %s: denoised, %d images stored, %d were there.", series["ID"], stored, len(files) - stored)

    def clear(self, keep: set[str]) -> None:
        """Remove the files under way, which hold patients, but for results that wait to be stored."""
        for path in self._work.iterdir():
            if path.name not in keep:
                shutil.rmtree(path)

    def _is_ours(self, series: dict[str, Any]) -> bool:
        first = self._orthanc.get_bytes(f"/instances/{series['Instances'][0]}/file")
        try:
            return is_derived(pydicom.dcmread(io.BytesIO(first), stop_before_pixels=True))
        except Exception:  # of many kinds, when the file is damaged: whoever reads its slices says so
            return False

    def _key(self, tags: dict[str, dict[str, Any]]) -> str:
        uids = sorted(one["SOPInstanceUID"] for one in tags.values())
        return hashlib.sha256("\n".join([self._made_by, *uids]).encode()).hexdigest()

    def _done_of(self, series: dict[str, Any]) -> set[Image]:
        """Images of the study that were denoised by this model and have their results in Orthanc."""
        done: set[Image] = set()
        for other in self._orthanc.get(f"/studies/{series['ParentStudy']}/series"):
            first = self._orthanc.get(f"/instances/{other['Instances'][0]}/simplified-tags")
            if self._made_by in (first.get("DerivationDescription") or ""):
                for tags in self._orthanc.get(f"/series/{other['ID']}/instances-tags?simplify").values():
                    done |= {
                        (item["ReferencedSOPInstanceUID"], item.get("ReferencedFrameNumber", ""))
                        for item in tags.get("SourceImageSequence") or ()
                    }
        return done

    def _fetch(self, instances: list[str]) -> Path:
        folder = self._work / "source"
        folder.mkdir()
        for number, instance in enumerate(instances, 1):
            (folder / f"{number:05d}.dcm").write_bytes(self._orthanc.get_bytes(f"/instances/{instance}/file"))
        return folder


def images(tags: dict[str, dict[str, Any]]) -> set[Image]:
    """The images of a series, frame by frame."""
    found: set[Image] = set()
    for one in tags.values():
        uid = one["SOPInstanceUID"]
        frames = int(one.get("NumberOfFrames") or 1) if one.get("SOPClassUID") in MULTI_FRAME_CLASSES else 0
        found |= {(uid, str(number)) for number in range(1, frames + 1)} if frames else {(uid, "")}
    return found


def take_note(orthanc: Orthanc, todo: Todo) -> None:
    """Read Orthanc's changes since the last time.

    Raises:
        OrthancError: refused.
        UnreachableError: no answer.
    """
    done = False
    while not done:
        news = orthanc.get(f"/changes?since={todo.last_change}&limit={_CHANGES_AT_ONCE}")
        done = news["Done"]
        if news["Changes"]:
            series = [change["ID"] for change in news["Changes"] if change["ChangeType"] in _NEWS]
            todo.note(series, news["Last"])
    if not news["Changes"] and orthanc.get("/changes?last")["Last"] < todo.last_change:
        log.warning("This Orthanc is younger than what is known of it; every series is looked at again.")
        todo.note([], 0)


def look_at(series: str, orthanc: Orthanc, todo: Todo, recipe: Recipe) -> None:
    """Do a waiting series if it is complete; what is wrong with it is told, and the others go on.

    Raises:
        OrthancError: the credentials are not accepted.
        UnreachableError: no answer.
    """
    if todo.waits(series):
        return
    begun = False
    try:
        told = orthanc.get(f"/series/{series}")
        if not told["IsStable"]:
            return
        if todo.tries[series] >= TRIES:
            log.error("Series %s: given up after %d tries.", series, TRIES)
        elif found := recipe.result_of(told):
            result, instances = found
            if not result.exists():
                recipe.clear(keep={waiting.result for waiting in todo.results.values()})
                todo.begin(series)
                begun = True
                recipe.denoise(instances, result)
                begun = False
            todo.keep(series, result.name)
            recipe.store(told, result)
    except NotStoredError as error:
        pause = todo.wait(series)
        log.warning("Series %s: %s; the result is kept, next try in %d s.", series, error, pause)
        return
    except UnreachableError:
        if begun:
            todo.take_back(series)
        raise
    except (InputError, OutputError) as error:  # another try would end the same
        log.error("Series %s: %s", series, as_sentence(error))
    except Exception as error:
        if isinstance(error, OrthancError) and error.status in CREDENTIALS:
            raise
        if isinstance(error, OrthancError) and error.status == 404:
            log.info("Series %s: removed from Orthanc meanwhile.", series)
        else:
            # What others' errors say may quote the patient.
            known = isinstance(error, LDCTDenoiseError | MemoryError)
            log.error("Series %s: %s", series, as_sentence(error) if known else f"failed ({type(error).__name__}).")
            todo.postpone(series)
            return
    todo.end(series)


def run(options: argparse.Namespace) -> None:
    """Watch Orthanc until the process is ended.

    Raises:
        LDCTDenoiseError: it cannot begin or go on.
    """
    orthanc = Orthanc(options.url, options.credentials, options.ca)
    work = options.state / "work"
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = open_folder(options.state)
    try:
        if handle is not None:
            wait_for_lock(handle)
        todo = Todo(options.state / "todo.json")
        recipe = Recipe(orthanc, load_denoiser(options), work)
        log.info("Watching %s.", options.url)
        answers = True
        while True:
            try:
                take_note(orthanc, todo)
                for series in list(todo.tries):
                    look_at(series, orthanc, todo, recipe)
                if not todo.tries.keys() - todo.results.keys():
                    recipe.clear(keep={waiting.result for waiting in todo.results.values()})
                answers = True
            except UnreachableError as error:
                if answers:
                    log.warning("%s Waiting for it.", error)
                answers = False
            time.sleep(POLL_SECONDS)
    finally:
        if handle is not None:
            os.close(handle)


def wait_for_lock(handle: int) -> None:
    """Wait until no other script works with this state."""
    told = False
    while try_lock(handle) is Lock.HELD:
        if not told:
            log.warning("Another script works with this state; waiting for its end.")
        told = True
        time.sleep(POLL_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8042", help="of Orthanc (default: %(default)s)")
    parser.add_argument("--credentials", type=Path, default=Path("credentials.json"), help="default: %(default)s")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificate that Orthanc's is signed by, its own for instance")
    parser.add_argument("--state", type=Path, default=Path("state"), help="folder of what is done (default: %(default)s)")
    add_device(parser)
    add_model(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    silence_pydicom()
    try:
        with stops_like_ctrl_c():
            run(options)
    except KeyboardInterrupt as stop:
        return stop.exit_code if isinstance(stop, Stopped) else 130
    except LDCTDenoiseError as error:
        print(f"denoise_new_series: {as_sentence(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
