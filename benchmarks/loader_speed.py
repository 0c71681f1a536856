"""Is data loading the bottleneck of training? Patches a second of the loader, beside those of a training step.

    python benchmarks/loader_speed.py [--device cuda] [--config paper-d]

Both are measured in one run, on a synthetic volume in the trainer's cache format: the loader alone (cutting patches out of memory
maps), what the device makes of them (noise, flips, rotations), and the step itself of each level. The loader keeps up where its
ratio to the step is above 1; on a GPU its workers run beside the step, on a CPU they share the cores with it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import torch
from lightning_fabric.utilities import move_data_to_device

from LDCTDenoiseLib.models.networks.layers import channels_last
from LDCTDenoiseLib.system.devices import choose_device
from LDCTDenoiseLib.training.config import TrainingConfig, load_config
from LDCTDenoiseLib.training.level_training import LevelTraining
from LDCTDenoiseLib.training.patches.array_cache import cached_arrays
from LDCTDenoiseLib.training.patches.batches import PatchBatches
from LDCTDenoiseLib.training.patches.cases import NoiseInsertedCase
from LDCTDenoiseLib.training.patches.noise_cache import PreparedVolume
from LDCTDenoiseLib.training.patches.samples import Batch
from LDCTDenoiseLib.training.train import level_module, new_cascade

SLICES = 16
REPEATS = 3
WORKS = ("loader", "device", "step")


def make_cases(folder: Path) -> list[NoiseInsertedCase]:
    """A volume of tissue whose values do not matter, read back from disk as a training reads its own."""
    rng = np.random.default_rng(0)
    arrays = {
        "hu": rng.integers(-100, 200, (SLICES, 512, 512), dtype=np.int16),
        "noise": rng.standard_normal((2, SLICES, 512, 512), dtype=np.float32).astype(np.float16),
    }
    found = cached_arrays(folder / "volume", lambda: arrays)
    return [NoiseInsertedCase(PreparedVolume(found["hu"], found["noise"], (0.8, 0.8), 10.0))]


def seconds(work: Callable[[], object], device: torch.device) -> list[float]:
    """Times of some repeats after a first one that does not count."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return times[1:]


def step(module: LevelTraining, optimizer: torch.optim.Optimizer, batch: Batch, precision: str) -> None:
    images = batch.images()
    with torch.autocast(images.full.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        loss = module.step_loss(images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def measure(config: TrainingConfig, device: torch.device, cases: list[NoiseInsertedCase]) -> list[dict[str, float]]:
    """For each level: patches a second of loader, device work and step; medians with their extremes."""
    cascade = channels_last(new_cascade(config)).to(device)
    rows = []
    numbers = count()
    for index, level in enumerate(config.levels):
        module = level_module(cascade, index, config, None).to(device).train()
        optimizer = module.network_optimizer()
        lesions = level.loss.lesions > 0
        batches = PatchBatches(cases, config.data, halo=module.halo, batches=10**9, seed=[1], lesions=lesions)
        batch = move_data_to_device(batches[0], device)
        works: dict[str, Callable[[], object]] = {
            "loader": lambda batches=batches: batches[next(numbers)],
            "device": batch.images,
            "step": lambda module=module, optimizer=optimizer, batch=batch, level=level: step(
                module, optimizer, batch, level.precision
            ),
        }
        row: dict[str, float] = {"level": index + 1, "patch": batches.side}
        for name, work in works.items():
            times = seconds(work, device)
            row[name] = config.data.batch_size / statistics.median(times)
            row[f"{name}_min"], row[f"{name}_max"] = (config.data.batch_size / limit for limit in (max(times), min(times)))
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="paper-d", help="without a perceptual loss")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    options = parser.parse_args()
    config, device = load_config(options.config), choose_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(config, device, make_cases(Path(folder)))
    print(f"{config.name} on {device}, batches of {config.data.batch_size}: patches a second, median (min to max)")
    for row in rows:
        told = [f"{name} {row[name]:,.0f} ({row[f'{name}_min']:,.0f} to {row[f'{name}_max']:,.0f})" for name in WORKS]
        ratio = row["loader"] / row["step"]
        print(f"level {row['level']}, patches of {row['patch']} px: {', '.join(told)}; a loading process / step = {ratio:.1f}")
    if options.json:
        record = {"config": config.name, "device": str(device), "levels": rows}
        options.json.write_text(json.dumps(record, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
