# SPDX-License-Identifier: Apache-2.0
"""Masks from boxes by the Segment Anything Model (paper Sec. III-A, step 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..utils.checkpoint import check_finite, weights_digest
from ..utils.text import check_choice

CHOICES = ('predicted_iou', 'single')
DTYPES = ('float32', 'bfloat16', 'float16')


class SamBoxSegmenter:
    """SAM with boxes as prompts; an image is encoded once for all of its boxes.

    Args:
        checkpoint: Folder that ``SamModel.save_pretrained`` and
            ``SamProcessor.save_pretrained`` wrote, or a name on the model hub
            such as 'facebook/sam-vit-huge'.
        device: 'auto' (the GPU if there is one), or what PyTorch knows.
        dtype: Floating point type of the image encoder; the rest is float32.
        choose: 'predicted_iou': SAM proposes three masks per box, and the one
            that it expects to fit best is taken; 'single': its one mask for
            prompts that leave no doubt.
        boxes_per_pass: Boxes that are decoded at once; a limit for memory.

    Raises:
        FileNotFoundError: The checkpoint can't be had.
        ValueError: An argument is unknown, or the checkpoint isn't one of SAM.
    """

    def __init__(
        self,
        checkpoint: str,
        device: str = 'auto',
        dtype: str = 'float32',
        choose: str = 'predicted_iou',
        boxes_per_pass: int = 32,
    ) -> None:
        check_choice('choose', choose, CHOICES)
        check_choice('dtype', dtype, DTYPES)
        if boxes_per_pass < 1:
            raise ValueError(f'boxes_per_pass must be positive, got {boxes_per_pass}')
        self.checkpoint = str(checkpoint)
        self.choose = choose
        self.dtype = dtype
        self.boxes_per_pass = boxes_per_pass
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self.device = torch.device(device)
        model, self.processor = _load(self.checkpoint)
        # Masks of two models are never mixed.
        self.weights = weights_digest(model.state_dict()).hexdigest()[:16]
        self.model = model.to(self.device).eval()
        self.model.vision_encoder.to(getattr(torch, dtype))

    @property
    def settings(self) -> dict[str, str]:
        """What the masks depend on, for the record."""
        return dict(
            checkpoint=self.checkpoint,
            weights=self.weights,
            choose=self.choose,
            dtype=self.dtype,
        )

    @torch.inference_mode()
    def segment(
        self, image: np.ndarray, boxes: Sequence[Sequence[float]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Segments what is in the boxes of an RGB image, uint8 (H, W, 3).

        Returns:
            Boolean masks (number of boxes, H, W), and the IoU that SAM predicts
            for each, float32 (number of boxes,).
        """
        if not len(boxes):
            return np.zeros((0, *image.shape[:2]), bool), np.zeros(0, np.float32)
        inputs = self.processor(
            images=image,
            input_boxes=[[[float(value) for value in box] for box in boxes]],
            return_tensors='pt',
        )
        pixels = inputs['pixel_values'].to(self.device, getattr(torch, self.dtype))
        embedding = self.model.get_image_embeddings(pixels).float()
        prompts = inputs['input_boxes'].to(self.device, torch.float32)
        sizes = inputs['original_sizes'], inputs['reshaped_input_sizes']
        parts = [
            self._decode(embedding, part, sizes)
            for part in prompts.split(self.boxes_per_pass, dim=1)
        ]
        masks, scores = zip(*parts, strict=True)
        return np.concatenate(masks), np.concatenate(scores)

    def _decode(
        self, embedding: Tensor, boxes: Tensor, sizes: tuple[Tensor, Tensor]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Masks (n, H, W) and predicted IoUs (n,) of boxes (1, n, 4)."""
        output = self.model(
            image_embeddings=embedding,
            input_boxes=boxes,
            multimask_output=self.choose == 'predicted_iou',
        )
        scores, logits = output.iou_scores[0], output.pred_masks[0]
        best = scores.argmax(dim=1)
        rows = torch.arange(len(best), device=best.device)
        # Only the chosen masks are brought to the size of the image.
        logits = logits[rows, best][None, :, None]
        masks = self.processor.image_processor.post_process_masks(logits.cpu(), *sizes)
        return masks[0][:, 0].numpy(), scores[rows, best].float().cpu().numpy()


def _load(checkpoint: str) -> tuple[Any, Any]:
    """Model and processor; transformers' annotations lack the half of them."""
    from transformers import SamConfig, SamModel, SamProcessor

    try:
        config = SamConfig.get_config_dict(checkpoint)[0]
        if not config:
            raise OSError('there is no config.json')
        if config.get('model_type') != 'sam':
            raise ValueError(
                f'{checkpoint} is a checkpoint of the model '
                f'{config.get("model_type")!r}, not of SAM'
            )
        model = SamModel.from_pretrained(checkpoint)
        check_finite(model.state_dict(), checkpoint)
        return model, SamProcessor.from_pretrained(checkpoint)
    except OSError as error:
        kind = 'folder' if Path(checkpoint).exists() else 'checkpoint'
        raise FileNotFoundError(
            f'the SAM {kind} {checkpoint!r} cannot be loaded '
            f'({str(error).splitlines()[0]}); give a folder with config.json, '
            'preprocessor_config.json and model.safetensors, or, where the model '
            "hub can be reached, a name such as 'facebook/sam-vit-huge'"
        ) from None
