# SPDX-License-Identifier: Apache-2.0
"""Learning rates that fall from the last layer of a backbone to the first."""

from __future__ import annotations

from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ..models import ReferringBackbone
from .wrapping import unwrapped


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor with ``layer_decay_rate`` in ``paramwise_cfg``.

    A parameter in layer i of n of the host trains with the learning rate times
    ``layer_decay_rate ** (n - i)``; fusions and what comes after the backbone keep
    it. For pretrained backbones, as BEiT and ConvNeXt are fine-tuned (Bao et al.
    2022, Appendix H). Other keys keep their meaning.

    Raises:
        ValueError: The rate isn't in (0, 1], or the backbone isn't a
            :class:`~mmcadformer.models.ReferringBackbone`.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        settings = dict(paramwise_cfg or {})
        rate = settings.pop('layer_decay_rate', None)
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise ValueError(
                f'optim_wrapper.paramwise_cfg.layer_decay_rate={rate!r} must be a '
                'number in (0, 1]'
            )
        self.rate = float(rate)
        # With no key at all the host would make a single group of all parameters.
        super().__init__(optim_wrapper_cfg, settings or dict(bias_decay_mult=1.0))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Builds the optimizer of a model."""
        self._scales = self._scale_parameters(unwrapped(model))
        return super().__call__(model)

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Adds one group for each parameter of a module and all below it.

        Args:
            params: The groups, added to in place.
            module: The module.
            **kwargs: Of MMEngine's own method.
        """
        start = len(params)
        super().add_params(params, module, **kwargs)
        for group in params[start:]:
            (parameter,) = group['params']
            # Taken out: calls nest, and each parameter is scaled once.
            scale = self._scales.pop(parameter, None)
            if scale is not None:
                rate: Any = group.get('lr', self.base_lr)
                group['lr'] = rate * scale

    def _scale_parameters(self, model: nn.Module) -> dict[nn.Parameter, float]:
        backbone = getattr(model, 'backbone', None)
        if not isinstance(backbone, ReferringBackbone):
            raise ValueError(
                "optim_wrapper.constructor='LayerDecayConstructor' needs "
                "model.backbone.type='ReferringBackbone' or 'ReferringViT', not "
                f'{type(backbone).__name__}'
            )
        layers, count = backbone.parameter_layers()
        parameters = dict(backbone.host.named_parameters())
        print_log(
            f'learning rate: times {self.rate**count:.3g} in the first of {count} '
            'layers of the backbone',
            logger='current',
        )
        return {
            parameters[name]: self.rate ** (count - layer)
            for name, layer in layers.items()
            if name in parameters  # the others have adapters
        }
