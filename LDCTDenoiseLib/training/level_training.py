"""Training of one level of a cascade on the results of the levels before it, or together with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from pytorch_optimizer import Muon
from torch.nn.modules.batchnorm import _BatchNorm

from ..ct.hu import DEFAULT_SCALE
from ..measures.image_quality import Window, psnr, tissue_mask
from ..measures.noise_left import NoiseLeft, noise_left_of_tiles
from ..measures.signal_kept import SMALL_FAINT, passes, places_for, signal_kept
from ..measures.tissue_bias import TISSUES
from ..models.cascade import Cascade
from ..models.networks import DenoisingNetwork
from ..models.networks.layers import without_autocast
from .config import LevelConfig
from .losses.lesion_response import lesion_response
from .losses.perceptual import PerceptualLoss
from .patches.samples import Images

VALIDATION_PSNR = "psnr_db"
"""Name of the validation's mean PSNR, by which epochs are compared."""
NOISE_LEFT_P90, SIGNAL_KEPT = "noise_left_p90", "signal_kept_20_hu_4_mm"
"""Names of the validation's local responses."""
_PLACES = 8
ERROR_FLOOR_HU = 3.0
"""Error that a patch is allowed even without inserted noise, when patches are weighted by their noise."""


class LevelTraining(LightningModule):
    """Lightning module that trains network ``index`` of a cascade; earlier networks are frozen, unless it is end to end.

    Whatever a level predicts, its loss compares its *result* with the normal dose: for a difference that is the
    squared error of the difference itself.

    Args:
        cascade: with the earlier levels trained.
        index: zero-based level to train.
        config: the level's steps and loss.
        window: of the validation's PSNR.
        perceptual: the perceptual loss, when the level has one.

    Attributes:
        norm_held: batch norm keeps its statistics while the weights learn (``callbacks/hold_batch_norm.py``).
    """

    batches_per_step = 1

    def __init__(
        self,
        cascade: Cascade,
        index: int,
        config: LevelConfig,
        window: Window,
        perceptual: PerceptualLoss | None = None,
    ) -> None:
        super().__init__()
        self.cascade = cascade
        self.index = index
        self.config = config
        self.window = window
        # Held in a tuple: a registered sub-module would put VGG into every checkpoint.
        self._perceptual = (perceptual,)
        self.norm_held = False
        self.cascade.requires_grad_(False)
        for network in self.learning:
            network.requires_grad_(True)
        self.strict_loading = False  # see on_save_checkpoint

    @property
    def network(self) -> DenoisingNetwork:
        return self.cascade.network(self.index)

    @property
    def learning(self) -> list[DenoisingNetwork]:
        """The networks that learn, this level's last."""
        return [self.cascade.network(index) for index in self._learning]

    @property
    def _learning(self) -> range:
        return range(0 if self.config.end_to_end else self.index, self.index + 1)

    @property
    def norms(self) -> list[_BatchNorm]:
        """The network's batch norms, of one process or joined over several."""
        return [module for module in self.network.modules() if isinstance(module, _BatchNorm)]

    @property
    def halo(self) -> int:
        """Pixels around a patch that the earlier levels need to see it as they would in a whole slice."""
        return self.cascade.radius(self.index) if self.index else 0

    @property
    def trained(self) -> tuple[str, ...]:
        """Starts of the names of the tensors that this level trains."""
        return tuple(f"cascade.networks.{index}." for index in self._learning)

    def train(self, mode: bool = True) -> LevelTraining:
        super().train(mode)
        # The earlier levels' batch norm must not learn from, or depend on, this level's batches.
        for network in self.cascade.networks[: self.index]:
            network.eval()
        if self.norm_held:
            for norm in self.norms:
                norm.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what this level trains only: earlier ones have checkpoints of their own, which may go on training."""
        for kept in ("state_dict", "current_model_state"):  # the second is there with averaged weights
            state = checkpoint.get(kept, {})
            for key in [key for key in state if not key.startswith(self.trained)]:
                del state[key]
        # A run folder may travel: the memory of the last checkpoint is a path on this machine and no more, and that of the best
        # would be forgotten in any other folder than its own.
        callbacks = checkpoint.get("callbacks", {})
        for key in [key for key in callbacks if key.startswith("ModelCheckpoint")]:
            if callbacks[key]["monitor"] is None:
                del callbacks[key]
            else:
                del callbacks[key]["dirpath"]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on at the configuration's rates, which may have been changed for it; a checkpoint brings those of its own run."""
        fresh = self.network_optimizer().param_groups
        share = self._rate_share(checkpoint["global_step"])
        for saved, group in zip(checkpoint["optimizer_states"][0]["param_groups"], fresh, strict=True):
            saved["lr"] = group["lr"] * share
        for schedule in checkpoint["lr_schedulers"]:
            schedule["base_lrs"] = [group["lr"] for group in fresh]

    def on_fit_start(self) -> None:
        for perceptual in self._perceptual:
            if perceptual is not None:
                perceptual.to(self.device)

    def denoise(self, low: torch.Tensor, halo: int = 0) -> torch.Tensor:
        """The level's result in network units for low-dose HU; the halo is cut off before the level itself."""
        return self.results(low, halo)[-1]

    def results(self, low: torch.Tensor, halo: int = 0) -> list[torch.Tensor]:
        """The results of the levels that learn, without their halo: see :meth:`denoise`."""
        original = DEFAULT_SCALE.to_unit(low).contiguous(memory_format=torch.channels_last)
        previous = original
        earlier = []
        # In float32, as inference does it: a level shown results in bfloat16 learns to mend their rounding.
        with torch.set_grad_enabled(self.config.end_to_end and torch.is_grad_enabled()), without_autocast(low.device):
            for index in range(self.index):
                # What a level has seen the edge of is cut off before the next one computes it again.
                seen = self.cascade.network(index).radius if halo else 0
                original, previous = (crop(one, seen) for one in (original, self.cascade.step(index, original, previous)))
                halo -= seen
                earlier.append(crop(previous, halo))
        result = self.cascade.step(self.index, original, previous)
        return [*earlier, result][self._learning.start :]

    def loss(self, result: torch.Tensor, full: torch.Tensor, low: torch.Tensor, *, all_terms: bool | None = None) -> torch.Tensor:
        """Loss of a result in network units against normal dose in HU; ``low`` gives the noise for the weights.

        ``all_terms`` counts L_P, or not, whatever the step.
        """
        settings = self.config.loss
        squared = (result.float() - DEFAULT_SCALE.to_unit(full)).square()
        loss = settings.mse * squared.mean(dim=(1, 2, 3))
        (perceptual,) = self._perceptual
        if all_terms is None:
            all_terms = perceptual is not None and self.global_step >= settings.perceptual_from_step
        if perceptual is not None and all_terms:
            hu = DEFAULT_SCALE.to_hu_difference(result.float()) - DEFAULT_SCALE.offset
            loss = loss + settings.perceptual * perceptual(hu, full)
        if settings.noise_weighted:
            inserted_variance = (low - full).var(dim=(1, 2, 3))
            expected = (inserted_variance / 4 + ERROR_FLOOR_HU**2) / DEFAULT_SCALE.width**2
            loss = loss / expected
        return loss.mean()

    def training_step(self, batch: Images, batch_index: int) -> torch.Tensor:
        loss = self.step_loss(batch)
        self.log_loss(loss)
        return loss

    def step_loss(self, images: Images, *, all_terms: bool | None = None) -> torch.Tensor:
        """Loss of a step on a batch with its halo; ``all_terms`` as in ``loss``."""
        _, low, lesions, patch = images
        seen = low if lesions is None or patch is None else torch.cat([low, low[patch] + lesions])
        losses = [self._result_loss(result, images, all_terms) for result in self.results(seen, self.halo)]
        return torch.stack(losses).sum()

    def _result_loss(self, result: torch.Tensor, images: Images, all_terms: bool | None) -> torch.Tensor:
        """Loss of a result, which the patches with lesions end."""
        full, low, lesions, patch = images
        count = len(low)
        loss = self.loss(result[:count], crop(full, self.halo), crop(low, self.halo), all_terms=all_terms)
        if lesions is None or patch is None:
            return loss
        response = DEFAULT_SCALE.to_hu_difference(result[count:].float() - result[patch].float())
        return loss + self.config.loss.lesions * lesion_response(response, crop(lesions, self.halo))

    def log_loss(self, loss: torch.Tensor) -> None:
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor, str, tuple[float, float]], batch_index: int) -> None:
        full, low, shown, spacing = batch
        result = self._denoised_hu(low)
        after = psnr(result, full, self.window)
        self.log(VALIDATION_PSNR, after, batch_size=1, sync_dist=True)
        gain = after - psnr(low, full, self.window)
        self.log(f"gain_db_{shown}", gain, batch_size=1, prog_bar=True, sync_dist=True)
        for name, value in self._local_response(full, low, result, spacing).items():
            self.log(name, value, batch_size=1, sync_dist=True)

    def _denoised_hu(self, low: torch.Tensor) -> torch.Tensor:
        """The level's result in HU, without autocast, as inference computes it."""
        with without_autocast(low.device):
            return DEFAULT_SCALE.to_hu_difference(self.denoise(low)) - DEFAULT_SCALE.offset

    def _local_response(
        self, full: torch.Tensor, low: torch.Tensor, result: torch.Tensor, spacing: tuple[float, float]
    ) -> dict[str, float]:
        """Noise left of a slice, and signal kept of small faint lesions in as many places as one pass has room for."""
        full_hu, low_hu, result_hu = (image[0].float().cpu().numpy() for image in (full, low, result))
        p90 = NoiseLeft({}, noise_left_of_tiles(result_hu, full_hu, low_hu)).p90
        values = {} if math.isnan(p90) else {NOISE_LEFT_P90: p90}

        def denoise(hu: np.ndarray) -> np.ndarray:
            return self._denoised_hu(torch.from_numpy(hu)[None].to(low.device))[0].cpu().numpy()

        places = places_for(SMALL_FAINT, tissue_mask(full_hu, TISSUES["soft"])[0], spacing, fewest=_PLACES)
        if places:
            chosen = [places[number] for number in passes(places, SMALL_FAINT, spacing)[0]]
            values[SIGNAL_KEPT] = float(signal_kept(denoise, low_hu, chosen, SMALL_FAINT, spacing, output=result_hu).mean())
        return values

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.network_optimizer()
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.rate_schedule(optimizer), "interval": "step"}}

    def network_optimizer(self) -> torch.optim.Optimizer:
        """Adam, or Muon for the hidden convolutions and Adam for the rest.

        Reference: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
        """
        last = {p for network in self.learning for p in network.last_layer.parameters()}
        ends = last.union(*(network.first_layer.parameters() for network in self.learning))
        parameters = [p for network in self.learning for p in network.parameters()]
        hidden = [p for p in parameters if p.ndim == 4 and p not in ends] if self.config.muon_rate else []
        apart = last | set(hidden)
        # Losses in network units are tiny (1 HU squared is 6e-8): Adam's usual epsilon of 1e-8 would stop the learning.
        adam: dict[str, Any] = {"betas": self.config.betas, "eps": 1e-14}
        rate = self.config.learning_rate
        groups = [
            adam | {"params": [p for p in parameters if p not in apart], "lr": rate},
            adam | {"params": [p for p in parameters if p in last], "lr": rate * self.config.last_layer_rate},
        ]
        if not hidden:
            return torch.optim.Adam(groups)
        by_adam = [group | {"use_muon": False} for group in groups]
        return Muon([*by_adam, {"params": hidden, "lr": self.config.muon_rate, "use_muon": True}])

    def rate_schedule(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        # A function of the step, not CosineAnnealingLR, whose saved length would outlive a longer schedule on resume.
        return torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate_share)

    def _rate_share(self, step: int) -> float:
        """The learning rate at a step, as a share of the first."""
        if self.config.schedule == "step":
            return 0.1 ** sum(step >= drop for drop in self.config.drop_at)
        if self.config.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.config.steps)))
        return 1.0


def crop(images: torch.Tensor, halo: int) -> torch.Tensor:
    """Images without a halo of so many pixels on each side."""
    return images[..., halo : images.shape[-2] - halo, halo : images.shape[-1] - halo] if halo else images
