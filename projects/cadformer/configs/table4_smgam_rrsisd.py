# Table IV, row 2: SMGAM and the standard decoder, which is also LGCE's in Fig. 8.
_base_ = '../../../configs/cadformer_swinb_rrsisd.py'
model = dict(
    backbone=dict(text_output=False),
    decode_head=dict(type='ReferringDecodeHead'),
)
