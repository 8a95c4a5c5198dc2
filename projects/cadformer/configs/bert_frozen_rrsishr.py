# BERT stays as it was pretrained.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(text_encoder=dict(trainable='none'))
