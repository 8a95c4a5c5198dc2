# Fig. 8: RMSIN's oriented-aware decoder instead of TCMD.
_base_ = '../../../configs/cadformer_swinb_rrsisd.py'
model = dict(
    backbone=dict(text_output=False),
    decode_head=dict(type='ReferringDecodeHead', rotated=True),
)
