# SPDX-License-Identifier: Apache-2.0
"""Direction words after mirroring and turning.

The heart is geometric: objects are put on a grid, an evaluator of its own reads
an expression and picks the object it means, and after the grid is moved as
arrays are the rewritten expression must pick the same object.
"""

import itertools
import math
import re

import numpy as np
import pytest

from mmcadformer.language.directions import rewrite_directions

MOVES = {
    'horizontal': lambda array: np.flip(array, 1),
    'vertical': lambda array: np.flip(array, 0),
    'rotate90': lambda array: np.rot90(array, 1),
    'rotate180': lambda array: np.rot90(array, 2),
    'rotate270': lambda array: np.rot90(array, 3),
}

TOWARDS = {'left': (-1, 0), 'right': (1, 0), 'top': (0, -1), 'bottom': (0, 1)}
TOWARDS.update(upper=TOWARDS['top'], lower=TOWARDS['bottom'])
TOWARDS.update(above=TOWARDS['top'], below=TOWARDS['bottom'])
TOWARDS.update(north=TOWARDS['top'], south=TOWARDS['bottom'])
TOWARDS.update(west=TOWARDS['left'], east=TOWARDS['right'])
STEM = re.compile('left|right|top|bottom|upper|lower|above|below|north|south|west|east')


def towards(words):
    """Sum of the directions that some words name, None if they name none."""
    found = [TOWARDS[stem] for stem in STEM.findall(words)]
    return tuple(map(sum, zip(*found, strict=True))) if found else None


def along(direction, positions):
    return positions @ np.asarray(direction)


def aligned(direction, offsets):
    """Cosine between a direction and offsets."""
    lengths = np.linalg.norm(offsets, axis=1) * math.hypot(*direction)
    return along(direction, offsets) / lengths


def evaluate(expression, tanks, house):
    """Index of the tank that an expression means.

    Args:
        expression (str): One of the forms of ``EXPRESSIONS``, rewritten or not.
        tanks (np.ndarray): x, y of the tanks (N, 2), y down.
        house (np.ndarray): x, y of the only house.
    """
    text = expression.lower()
    clock = re.search(r"at (\d+) o'clock from the house", text)
    ordinal = re.search(r'second tank (?:counted )?from the (\w+)', text)
    if clock:
        angle = math.radians(30 * int(clock[1]))
        direction = math.sin(angle), -math.cos(angle)
        return int(np.argmax(aligned(direction, tanks - house)))
    if ordinal:
        return int(np.argsort(along(towards(ordinal[1]), tanks))[-2])
    if 'house' in text:
        between = re.search(r'tank(.*)house', text)[1]
        return int(np.argmax(aligned(towards(between), tanks - house)))
    return int(np.argmax(along(towards(text), tanks)))


SIDES = ('left', 'right', 'top', 'bottom')
CORNERS = [
    f'{v} {h}'
    for v, h in itertools.product(
        ('upper', 'lower', 'top', 'bottom'), ('left', 'right')
    )
]
COMPASS = (
    'north',
    'south',
    'east',
    'west',
    'northeast',
    'southeast',
    'northwest',
    'southwest',
    'north-east',
    'south-west',
    'north west',
)
EXPRESSIONS = [
    *(f'the {w} tank' for w in (*SIDES, *CORNERS, 'upper', 'lower')),
    *(f'the {w}most tank' for w in (*SIDES, 'upper', 'lower')),
    *(
        f'the tank {p}'
        for p in (
            'on the left',
            'on the far right',
            'at the top',
            'at the very bottom',
            'at the left',
            'in the right of the image',
            'on right',
            'at top',
        )
    ),
    *(f'The tank in the {c} corner' for c in CORNERS),
    *(f'a tank on the {c.replace(" ", "-")} side' for c in CORNERS),
    *(f'the tank farthest to the {side}' for side in SIDES),
    *(f'the tank nearest to the {side} edge of the image' for side in SIDES),
    *(f'the tank on the {side} side' for side in SIDES),
    *(f'the second tank from the {side}' for side in SIDES),
    *(f'tank to the {side} of the house' for side in ('left', 'right')),
    *(f'tank {side} of the house' for side in ('left', 'right')),
    *(f'the tank on the {side} of the house' for side in ('left', 'right')),
    *(f'the tank {relation} the house' for relation in ('above', 'below')),
    'the tank above and to the left of the house',
    'the tank below and to the right of the house',
    'the tank to the right of and above the house',
    *(f'the {c} tank' for c in COMPASS),
    *(f'the {c}ern tank' for c in COMPASS if ' ' not in c),
    *(f'the tank {c} of the house' for c in COMPASS),
    *(f'the {c}ernmost tank' for c in COMPASS[:4]),
    *(f"the tank at {hour} o'clock from the house" for hour in range(1, 13)),
]


def _scene(seed):
    """Grid with tanks 1..6 and a house 7 at cells of different x and y."""
    rng = np.random.default_rng(seed)
    grid = np.zeros((23, 31), int)
    ys = rng.choice(23, 7, replace=False)
    xs = rng.choice(31, 7, replace=False)
    grid[ys, xs] = range(1, 8)
    return grid


def _positions(grid):
    """x, y of the objects 1, 2, ... in a grid."""
    order = np.argsort(grid[grid > 0])
    ys, xs = np.nonzero(grid)
    return np.stack([xs, ys], axis=1)[order].astype(float)


def _unique(expression, tanks, house):
    """Whether a small shift of every object leaves the choice as it is."""
    rng = np.random.default_rng(0)
    picks = {
        evaluate(expression, tanks + rng.normal(0, 0.05, tanks.shape), house)
        for _ in range(5)
    }
    return len(picks) == 1


@pytest.mark.parametrize('move', MOVES)
@pytest.mark.parametrize('expression', EXPRESSIONS)
def test_the_same_object_is_meant_afterwards(expression, move):
    rewritten = rewrite_directions(expression, move)
    assert rewritten is not None
    compared = 0
    for seed in range(12):
        grid = _scene(seed)
        before, after = _positions(grid), _positions(MOVES[move](grid))
        if not _unique(expression, before[:-1], before[-1]):
            continue
        compared += 1
        meant = evaluate(expression, before[:-1], before[-1])
        assert evaluate(rewritten, after[:-1], after[-1]) == meant, rewritten
    assert compared > 3


def test_the_geometric_test_can_fail():
    """Unchanged expressions pick other objects, so the test above tells."""
    wrong = total = 0
    for expression, seed in itertools.product(EXPRESSIONS, range(6)):
        grid = _scene(seed)
        before, after = _positions(grid), _positions(np.rot90(grid))
        total += 1
        wrong += evaluate(expression, before[:-1], before[-1]) != evaluate(
            expression, after[:-1], after[-1]
        )
    assert wrong > 0.6 * total


@pytest.mark.parametrize('move', ['horizontal', 'vertical', 'rotate180'])
@pytest.mark.parametrize('expression', EXPRESSIONS)
def test_mirroring_twice_gives_the_expression_back(expression, move):
    assert rewrite_directions(rewrite_directions(expression, move), move) == expression


def _turn(expression, times):
    for _ in range(times):
        expression = rewrite_directions(expression, 'rotate90')
    return expression


STABLE = [
    'the left tank',
    'the topmost tank',
    'the tank on the left',
    'the tank at the very bottom',
    'the upper left tank',
    'at the top-right corner',
    'the tank to the right of the house',
    'the tank above the house',
    'the tank below and to the right of the house',
    'the north-western tank',
    'the tank north of the house',
    "the tank at 5 o'clock from the house",
    'facing upward',
    'a clockwise arc',
    'the second tank from the left',
]


@pytest.mark.parametrize('expression', STABLE)
def test_four_quarter_turns_give_the_expression_back(expression):
    assert _turn(expression, 4) == expression
    assert len({_turn(expression, times) for times in range(4)}) in (1, 4)


@pytest.mark.parametrize('expression', EXPRESSIONS)
def test_four_quarter_turns_give_a_synonym_back(expression):
    once = _turn(expression, 4)
    assert _turn(once, 4) == once
    grid = _positions(_scene(1))
    assert evaluate(once, grid[:-1], grid[-1]) == evaluate(
        expression, grid[:-1], grid[-1]
    )


@pytest.mark.parametrize('expression', EXPRESSIONS)
def test_turns_there_and_back(expression):
    there = rewrite_directions(expression, 'rotate90')
    back = rewrite_directions(there, 'rotate270')
    grid = _positions(_scene(2))
    assert evaluate(back, grid[:-1], grid[-1]) == evaluate(
        expression, grid[:-1], grid[-1]
    )


@pytest.mark.parametrize(
    'expression, move, expected',
    [
        # kinds of words
        ('the leftmost ship', 'horizontal', 'the rightmost ship'),
        ('the uppermost ship', 'vertical', 'the lowermost ship'),
        ('the uppermost ship', 'rotate90', 'the leftmost ship'),
        ('the top-left dam', 'horizontal', 'the top-right dam'),
        ('the northeastern dam', 'horizontal', 'the northwestern dam'),
        ('the northeastern dam', 'rotate90', 'the northwestern dam'),
        ('the left-hand runway', 'horizontal', 'the right-hand runway'),
        ('planes heading westward', 'rotate180', 'planes heading eastward'),
        ('a plane facing left', 'horizontal', 'a plane facing right'),
        ('a clockwise roundabout', 'horizontal', 'a counterclockwise roundabout'),
        ('a counterclockwise roundabout', 'rotate90', 'a counterclockwise roundabout'),
        ("at three o'clock", 'horizontal', "at nine o'clock"),
        ("at 12 o'clock", 'rotate90', "at 9 o'clock"),
        ("an 8 o'clock position", 'rotate90', "a 5 o'clock position"),
        # phrases under a quarter turn
        ('the ship to the left of the dam', 'rotate90', 'the ship below the dam'),
        (
            'the ship directly above the dam',
            'rotate90',
            'the ship directly to the left of the dam',
        ),
        ('on the left of the image', 'rotate270', 'at the top of the image'),
        ('on the left side of the road', 'rotate270', 'on the top side of the road'),
        ('from left to right', 'rotate90', 'from bottom to top'),
        (
            'the court on the left of the two courts',
            'horizontal',
            'the court on the right of the two courts',
        ),
        (
            'the court on the left of the two courts',
            'vertical',
            'the court on the left of the two courts',
        ),
        ('the court left of the tanks', 'rotate90', 'the court below the tanks'),
        # words stay where the move doesn't touch them
        ('the ship on the left', 'vertical', 'the ship on the left'),
        ('the second ship from the left', 'vertical', 'the second ship from the left'),
        ('the bridge over the river', 'horizontal', 'the bridge over the river'),
        ('a horizontal runway', 'vertical', 'a horizontal runway'),
        ('the red roof', 'rotate90', 'the red roof'),
        (
            'bright rooftops at the bus stop',
            'rotate90',
            'bright rooftops at the bus stop',
        ),
        ('the second largest dam', 'rotate90', 'the second largest dam'),
        # articles and capitals
        ('An upper dam', 'vertical', 'A lower dam'),
        ('a lower dam', 'vertical', 'an upper dam'),
        ('a western dam', 'horizontal', 'an eastern dam'),
        ('Left of the DAM', 'horizontal', 'Right of the DAM'),
        ('THE UPPER LEFT DAM', 'horizontal', 'THE UPPER RIGHT DAM'),
        ('Above the dam', 'rotate90', 'To the left of the dam'),
        ('To the left of the dam', 'rotate270', 'Above the dam'),
        ('A LOWER DAM', 'vertical', 'AN UPPER DAM'),
        # what stands around stays
        (
            '  the ship,  on the left; near it.',
            'horizontal',
            '  the ship,  on the right; near it.',
        ),
        ('le barrage à gauche', 'horizontal', 'le barrage à gauche'),
        ('', 'rotate90', ''),
    ],
)
def test_known_answers(expression, move, expected):
    assert rewrite_directions(expression, move) == expected


ALL = tuple(MOVES)
VERTICAL = ('vertical', 'rotate90', 'rotate180', 'rotate270')
QUARTER = ('rotate90', 'rotate270')


@pytest.mark.parametrize(
    'expression, moves',
    [
        ('the ship after the left turn', ('horizontal', 'vertical', *QUARTER)),
        ('the road that turns right', ('horizontal', 'vertical', *QUARTER)),
        ('the roads at a right angle', ('horizontal', 'rotate90')),
        ('the ship right next to the dam', ('horizontal', 'rotate180')),
        ('Right beside the dam', ('horizontal', 'rotate90')),
        ('the plane, right in the middle', ('horizontal', 'rotate90')),
        ('the only ship left', ('horizontal', 'rotate90')),
        ('the ship that left the harbor', ('horizontal', 'rotate90')),
        ('the spot is left empty', ('horizontal', 'rotate90')),
        ('the right of way', ('horizontal', 'rotate90')),
        ('the second ship', ALL),
        ('the 3rd ship in the row', ALL),
        ('the last plane', ALL),
        ('the bridge over the river', VERTICAL),
        ('the ship behind the dam', VERTICAL),
        ('the dam up the river', VERTICAL),
        ('a flag on top of the hill', VERTICAL),
        ('at the top of the building', VERTICAL),
        ('a tank with a white top', VERTICAL),
        ('an above-ground pool', VERTICAL),
        ('the pool seen from above', VERTICAL),
        ('a pool lower than the road', VERTICAL),
        ('the top view of a dam', VERTICAL),
        ('the horizontal runway', QUARTER),
        ('a row of vertically parked cars', QUARTER),
        ('the left-hand runway', QUARTER),
        ('a plane facing left', QUARTER),
        ('the tank above', QUARTER),
        ('to the immediate left of the dam', QUARTER),
        ('at the top of the runway', QUARTER),
        # one of several, or a place beside them
        ('the court on the right of the two courts', QUARTER),
        ('the court on the left of the three', QUARTER),
        ('the tank left of the pair', QUARTER),
        ('the tank on the right of the group of tanks', QUARTER),
        ('the one on the left of both', QUARTER),
        ('the tank on the right of these 4 tanks', QUARTER),
        ('the tank on the left of them', QUARTER),
        ('the court on the right of all the courts', QUARTER),
        ('the factory on the right of the red factories', QUARTER),
        ('in the left of the field', QUARTER),
        ('a counter-clockwise roundabout', ('horizontal', 'vertical')),
        ("at 15 o'clock", ALL),
        ("o'clock", ALL),
        ('the lefty ship', ALL),
        ('topmast of the ship', ALL),
        ('near the Southampton dock', ALL),
        ('the dam in North Holland', VERTICAL),
    ],
)
def test_doubtful_expressions_are_left_alone(expression, moves):
    for move in moves:
        assert rewrite_directions(expression, move) is None, move


def test_unknown_transform():
    with pytest.raises(ValueError, match="'diagonal'.*horizontal"):
        rewrite_directions('a ship', 'diagonal')
