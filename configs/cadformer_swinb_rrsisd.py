# CADFormer on RRSIS-D with the paper's settings (Sec. V-A).
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/rrsisd.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
