# The paper's equations to the letter: no neck between encoder and decoder.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(neck=None)
