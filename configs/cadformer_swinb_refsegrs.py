# CADFormer on RefSegRS, which its paper doesn't report: the settings for RRSIS-D.
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/refsegrs.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
