# Made by: python tools/dataset_converters/synthrs.py data_generalised
#     --difficulty generalised --several 0.334 --none 0.333 --max-sentences 1
_base_ = './referring_generalised.py'
_dataset = dict(type='SynthRSDataset', data_root='data_generalised')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
