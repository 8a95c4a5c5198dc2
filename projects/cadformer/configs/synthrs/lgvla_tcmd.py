# LGVLA alone, TCMD.
_base_ = '../../../../configs/cadformer_tiny_synthrs.py'
model = dict(backbone=dict(vglva=False))
