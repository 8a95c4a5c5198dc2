# LGVLA alone, standard decoder.
_base_ = '../../../../configs/cadformer_tiny_synthrs.py'
model = dict(
    backbone=dict(vglva=False, text_output=False),
    decode_head=dict(type='ReferringDecodeHead'),
)
