# All of BERT is trained; the base config trains layers 0-9.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(text_encoder=dict(trainable='all'))
