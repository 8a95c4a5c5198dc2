# Without the gates of Eqs. (4) and (8).
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(backbone=dict(fusion_gate=False))
