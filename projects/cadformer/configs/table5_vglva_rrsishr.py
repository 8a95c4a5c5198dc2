# Table V, row 2: only the words are refined by the image.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(backbone=dict(lgvla=False))
