# LGCE on RRSIS-HR, with CADFormer's schedule. Expressions have up to 41
# words, so 64 tokens for every method instead of the family's 20.
_base_ = [
    './_base_/models/lgce_swinb.py',
    './_base_/datasets/rrsishr.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=64))
