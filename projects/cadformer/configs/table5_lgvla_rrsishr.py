# Table V, row 3: only the image is refined by the words.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(backbone=dict(vglva=False))
