# CADFormer on RRSIS-D with Swin V2-B, otherwise with the paper's settings.
_base_ = [
    './_base_/models/cadformer_swinv2b.py',
    './_base_/datasets/rrsisd.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
