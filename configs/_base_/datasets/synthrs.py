# Made by: python tools/dataset_converters/synthrs.py data
_base_ = './referring.py'
_dataset = dict(type='SynthRSDataset', data_root='data')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
