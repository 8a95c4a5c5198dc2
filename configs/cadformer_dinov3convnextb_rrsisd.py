# CADFormer on RRSIS-D with DINOv3's ConvNeXt-B, otherwise with the paper's settings.
_base_ = [
    './_base_/models/cadformer_dinov3convnextb.py',
    './_base_/datasets/rrsisd.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
