# SPDX-License-Identifier: Apache-2.0
"""Splits with the proportions of the paper's Table I in every category."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor

from tabulate import tabulate

from ..datasets.formats import BoxItem
from ..utils.text import check_choice

SPLITS = ('train', 'val', 'test')
RATIOS = dict(train=0.8, val=0.1, test=0.1)
SPLIT_METHODS = ('stratified', 'source')


def split_sizes(count: int, ratios: Mapping[str, float] = RATIOS) -> dict[str, int]:
    """Sizes of the splits of one category with so many objects.

    Training gets its share rounded down, validation its share of the rest
    rounded up, test what is left. With 80/10/10 these are the numbers of the
    paper's Table I, in each of its seven categories.

    Raises:
        ValueError: The ratios aren't shares of the splits that sum to 1.
    """
    if set(ratios) != set(SPLITS):
        raise ValueError(f'ratios must be given for {SPLITS}, got {sorted(ratios)}')
    # 0.8 as a binary number is a little more than 4/5; people mean the decimal.
    train, val, test = (Fraction(str(ratios[split])) for split in SPLITS)
    if min(train, val, test) < 0 or train + val + test != 1:
        raise ValueError(f'ratios must sum to 1, got {dict(ratios)}')
    first = floor(train * count)
    rest = count - first
    second = ceil(rest * val / (val + test)) if val + test else 0
    return dict(zip(SPLITS, (first, second, rest - second), strict=True))


def stratified_split(
    groups: Mapping[str, Sequence[str]],
    ratios: Mapping[str, float] = RATIOS,
    seed: int = 0,
) -> dict[str, str]:
    """Assigns groups of objects to splits so that each category is divided alike.

    The objects of an image are a group: it goes to one split as a whole. The
    rarest category is dealt out first, as it has the least freedom; each of its
    groups, large ones first, goes where most objects of it are still wanted.
    Where every image has one object, the sizes are those of
    :func:`split_sizes` exactly.

    Args:
        groups: Categories of the objects, by group.
        ratios, seed: Share of each split; which groups go where.

    Returns:
        Split by group.
    """
    counts = {name: Counter(categories) for name, categories in groups.items()}
    totals: Counter[str] = sum(counts.values(), Counter())
    wanted: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for category, total in totals.items():
        for split, size in split_sizes(total, ratios).items():
            wanted[split][category] = size
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda name: -counts[name].total())
    by_category: dict[str, list[str]] = defaultdict(list)
    for name in order:
        for category in counts[name]:
            by_category[category].append(name)
    result: dict[str, str] = {}
    for category in sorted(totals, key=lambda c: (totals[c], c)):
        for name in by_category[category]:
            if name not in result:
                result[name] = _neediest(wanted, counts[name], category)
                wanted[result[name]].subtract(counts[name])
    return {name: result[name] for name in sorted(groups)}


def split_items(
    items: Sequence[BoxItem],
    contents: Mapping[str, str],
    method: str = 'stratified',
    ratios: Mapping[str, float] = RATIOS,
    seed: int = 0,
    shared_images: bool = False,
) -> dict[str, str]:
    """Split by item.

    Args:
        contents: Fingerprint of the file by image: copies count as one image.
        method: 'stratified', see :func:`stratified_split`, or 'source': as the
            source of the items says.
        ratios, seed: For 'stratified'.
        shared_images: Allow an image in two splits. What is said is then dealt out
            one by one.

    Raises:
        ValueError: The source doesn't say, says something unknown, or puts an
            image in two splits.
    """
    check_choice('split method', method, SPLIT_METHODS)
    groups: dict[str, list[BoxItem]] = defaultdict(list)
    for item in items:
        groups[item.sentence if shared_images else contents[item.image]].append(item)
    if method == 'source':
        return _from_source(groups.values())
    categories = {key: [item.category for item in g] for key, g in groups.items()}
    by_group = stratified_split(categories, ratios, seed)
    return {item.item_id: by_group[key] for key, g in groups.items() for item in g}


def _from_source(groups: Iterable[Sequence[BoxItem]]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for group in groups:
        for item in group:
            # RefCOCO has testA and testB.
            if item.split not in SPLITS and 'test' not in str(item.split):
                raise ValueError(
                    f'the source puts item {item.item_id!r} into the split '
                    f'{item.split!r}, not into one of {SPLITS}; use stratified splits'
                )
            splits[item.item_id] = str(item.split)
        used = sorted({splits[item.item_id] for item in group})
        if len(used) > 1:
            raise ValueError(
                f'the image {group[0].image!r} (or a copy of it) is in the splits '
                f'{" and ".join(used)}; use stratified splits, or allow this with '
                '--shared-images'
            )
    return splits


def _neediest(
    wanted: Mapping[str, Counter[str]], added: Counter[str], category: str
) -> str:
    """Split that lacks most of a category; among equals, of the whole group."""

    def need(split: str) -> tuple[int, int, int]:
        return (
            wanted[split][category],
            sum(min(wanted[split][c], n) for c, n in added.items()),
            wanted[split].total(),
        )

    return max(SPLITS, key=need)


def count_table(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Counts objects, given by category and split, as the paper's Table I does.

    The last category, and in each the last entry besides the splits, is 'total'.
    """
    counts = Counter(pairs)
    names = (*SPLITS, *sorted({split for _, split in counts} - set(SPLITS)))
    table = {
        category: {split: counts[category, split] for split in names}
        for category in sorted({category for category, _ in counts})
    }
    table['total'] = {
        split: sum(row[split] for row in table.values()) for split in names
    }
    return {name: dict(row, total=sum(row.values())) for name, row in table.items()}


def format_table(table: Mapping[str, Mapping[str, int]]) -> str:
    """Writes the table in Markdown."""
    rows = [dict(category=name, **row) for name, row in table.items()]
    return tabulate(rows, headers='keys', tablefmt='github')
