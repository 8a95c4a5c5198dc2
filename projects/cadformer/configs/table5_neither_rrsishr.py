# Table V, row 1: no alignment in the encoder; TCMD still reads the expression.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(backbone=dict(lgvla=False, vglva=False))
