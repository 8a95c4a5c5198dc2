# data/grefcoco/{grefs(unc).json,instances.json} and data/images/train2014/. Testing takes
# testA and testB together.
_base_ = './referring_generalised.py'
_dataset = dict(type='GRefCOCODataset', data_root='data')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
