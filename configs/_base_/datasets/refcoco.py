# Any folder in the RefCOCO layout: give its data_root and name by --cfg-options.
_base_ = './referring.py'
_dataset = dict(type='ReferringSegDataset', data_root='data', name='refcoco')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
