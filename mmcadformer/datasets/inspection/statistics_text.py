# SPDX-License-Identifier: Apache-2.0
"""Statistics as text."""

from prettytable import PrettyTable


def format_statistics(name, statistics):
    """Tables for people.

    Args:
        name (str): Name of the data set.
        statistics (dict): Of :func:`collect_statistics`.

    Returns:
        str: Several lines.
    """
    parts = [
        f'{name}: triplets by category and split',
        _triplets(statistics),
        f'{name}: numbers',
        _numbers(statistics),
        f'{name}: area of targets, percent of the image',
        _areas(statistics['area']),
    ]
    if statistics['tokens']:
        parts += [
            f'{name}: expressions cut at max_tokens',
            _tokens(statistics['tokens']),
        ]
    return '\n'.join(parts)


def _triplets(statistics):
    splits = [*statistics['splits'], 'total']
    table = _table(['category', *splits])
    for category, counts in statistics['triplets']['categories'].items():
        table.add_row([category, *(counts[split] for split in splits)])
    totals = dict(
        total=statistics['triplets']['total'],
        images=statistics['images'],
        objects=statistics['objects'],
    )
    for what, counts in totals.items():
        table.add_row([what, *(counts[split] for split in splits)])
    return table.get_string()


def _numbers(statistics):
    table = _table(['per expression', 'min', 'mean', 'median', 'max'])
    rows = dict(words=statistics['words'], categories=statistics['categories_named'])
    if statistics['tokens']:
        rows['tokens'] = statistics['tokens']
    for what, spread in rows.items():
        summary = [spread['min'], f'{spread["mean"]:.2f}', spread['median']]
        table.add_row([what, *summary, spread['max']])
    vocabulary = statistics['vocabulary']
    return (
        f'{table.get_string()}\n'
        f'vocabulary: {vocabulary["size"]} words, {vocabulary["once"]} of them used '
        f'once, {vocabulary["not_in_training"]} not in training; '
        f'{vocabulary["different_expressions"]} different expressions'
    )


def _areas(area):
    table = _table(['of the image', 'targets'])
    edges = area['histogram']['edges']
    bins = zip(edges[:-1], edges[1:], area['histogram']['counts'], strict=True)
    for low, high, count in bins:
        table.add_row([f'{low:g} - {high:g} %', count])
    text = table.get_string()
    if area['quantiles']:
        text += f'\nmedian {area["quantiles"]["50"]:.3g} %, mean {area["mean"]:.3g} %'
    if area['no_target']:
        text += f'\n{area["no_target"]} expressions refer to nothing'
    if area['not_measured']:
        text += (
            f'\n{area["not_measured"]} not measured: polygons in images whose size '
            'the annotations do not tell'
        )
    return text


def _tokens(tokens):
    table = _table(['max_tokens', 'cut'])
    for limit, share in tokens['truncated'].items():
        mark = ' *' if limit == str(tokens['max_tokens']) else ''
        table.add_row([f'{limit}{mark}', f'{share:.2f} %'])
    return table.get_string()


def _table(names):
    table = PrettyTable(names)
    table.align = 'r'
    table.align[names[0]] = 'l'
    return table
