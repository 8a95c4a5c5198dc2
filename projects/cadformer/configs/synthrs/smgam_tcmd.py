# Full SMGAM, TCMD: CADFormer.
_base_ = '../../../../configs/cadformer_tiny_synthrs.py'
