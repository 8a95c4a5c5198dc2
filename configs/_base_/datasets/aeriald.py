# JSON lines, made once from data/aeriald/{train,val}/{annotations,images}/ by:
# python tools/dataset_converters/convert.py --layout aeriald --data-root data/aeriald
#     --to json --out data/aeriald
_base_ = './referring.py'
_dataset = dict(type='ReferringJsonDataset', data_root='data/aeriald', name='aeriald')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=dict(_dataset, split='val'))  # there is no other
