# SPDX-License-Identifier: Apache-2.0
"""How commands are told which differences to report."""

import argparse

from .report import GROUPINGS


def add_difference_arguments(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
) -> None:
    """Adds what :func:`choose_pairs` and :func:`difference_table` take.

    Args:
        parser: Parser or group, extended in place.
    """
    parser.add_argument(
        '--pairs',
        choices=['reference', 'all'],
        default='reference',
        help='differences of each method from the reference, or of any two',
    )
    parser.add_argument(
        '--bootstrap',
        choices=GROUPINGS,
        default='expression',
        help='what is drawn: expressions, or images with all their expressions',
    )
    parser.add_argument('--resamples', type=int, default=10_000)
    parser.add_argument('--level', type=float, default=0.95, help='confidence')
