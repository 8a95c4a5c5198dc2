# Table IV, row 3: LAVT's alignment and TCMD. Row 4 is the base config itself.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(backbone=dict(type='ReferringSwin', fusion=dict(type='PWAM')))
