# CADFormer on RRSIS-D with ConvNeXt V2-B, otherwise with the paper's settings.
_base_ = [
    './_base_/models/cadformer_convnextv2b.py',
    './_base_/datasets/rrsisd.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
