# No alignment, standard decoder: nothing reads the expression. The floor that every
# model has to beat. The text encoder is frozen, since no gradient would reach it.
_base_ = '../../../../configs/cadformer_tiny_synthrs.py'
model = dict(
    text_encoder=dict(trainable='none'),
    backbone=dict(lgvla=False, vglva=False, text_output=False),
    decode_head=dict(type='ReferringDecodeHead'),
)
