"""Parts between backbone and decode head."""

from .cross_scale_interaction import CrossScaleInteractionNeck

__all__ = ['CrossScaleInteractionNeck']
