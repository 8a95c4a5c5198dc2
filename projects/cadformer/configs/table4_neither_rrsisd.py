# Table IV, row 1: LAVT's alignment and the standard decoder; the neck stays.
_base_ = '../../../configs/cadformer_swinb_rrsisd.py'
model = dict(
    backbone=dict(type='ReferringSwin', fusion=dict(type='PWAM'), text_output=False),
    decode_head=dict(type='ReferringDecodeHead'),
)
