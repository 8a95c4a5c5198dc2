# LGCE on RRSIS-D, with CADFormer's schedule.
_base_ = [
    './_base_/models/lgce_swinb.py',
    './_base_/datasets/rrsisd.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
