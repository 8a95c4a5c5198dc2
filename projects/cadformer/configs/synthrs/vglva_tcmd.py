# VGLVA alone, TCMD.
_base_ = '../../../../configs/cadformer_tiny_synthrs.py'
model = dict(backbone=dict(lgvla=False))
