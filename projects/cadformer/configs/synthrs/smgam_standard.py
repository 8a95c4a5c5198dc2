# Full SMGAM, standard decoder.
_base_ = '../../../../configs/cadformer_tiny_synthrs.py'
model = dict(
    backbone=dict(text_output=False),
    decode_head=dict(type='ReferringDecodeHead'),
)
