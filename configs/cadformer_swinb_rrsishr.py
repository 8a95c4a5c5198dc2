# CADFormer on RRSIS-HR with the paper's settings (Sec. V-A). Expressions have up to
# 41 words, so 64 tokens instead of the family's 20.
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/rrsishr.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=64))
