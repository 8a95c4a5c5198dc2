# CADFormer on RRSIS-D with SigLIP 2's text encoder, otherwise with the paper's settings.
_base_ = [
    './_base_/models/cadformer_swinb_siglip2.py',
    './_base_/datasets/rrsisd.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
