# SPDX-License-Identifier: Apache-2.0
"""What a layout's reader offers, and what readers have in common."""

import json

from ...utils.text import visible_text
from ..errors import AnnotationError, fail

LEAVE_OUT = 'Repair the entry or list its ref_id in `exclude_file`.'


class LayoutReader:
    """Reads the annotation files of one layout.

    A dataset reads the entries, selects those it needs and makes objects of
    these alone, so that damage elsewhere stops nobody. The tools that look at
    whole data sets use the same two steps, but collect errors.

    Args:
        source (str): Main annotation file, for messages.
        backend_args (dict, optional): Of MMEngine's file backend.

    Attributes:
        ids_per_split (bool): Whether splits have ids of their own.
        remarks (list[AnnotationError]): What was noticed while objects were
            made that doesn't keep them from being used.
    """

    ids_per_split = False

    def __init__(self, source, backend_args=None):
        self.source = source
        self.backend_args = backend_args
        self.remarks = []

    def entries(self, split=None, report=fail):
        """All entries.

        Args:
            split (str, optional): A reader whose splits are in files of their
                own reads only this one's.
            report (Callable[[AnnotationError], None]): Gets what is wrong with
                a single entry, which is then left out; ``ref_id`` of the error
                is the entry's, or one made from its place. By default it
                raises.

        Returns:
            list[dict]: Entries with at least ``ref_id`` and ``split``.

        Raises:
            FileNotFoundError: An annotation file is missing.
            AnnotationError: A file can't be read at all.
        """
        raise NotImplementedError

    def where(self, entry):
        """str: File and place of an entry, for messages."""
        raise NotImplementedError

    def make_object(self, entry):
        """Check an entry and turn it into a record.

        Args:
            entry (dict): One of :meth:`entries`.

        Returns:
            dict: The record of an object (see :class:`BaseReferringDataset`)
            without the keys that every record of a dataset shares.

        Raises:
            AnnotationError: Something is wrong with it.
        """
        raise NotImplementedError

    def unused_damage(self, entries):
        """Damage in what no entry uses, for those who check everything.

        Args:
            entries (list[dict]): All entries.

        Returns:
            list[AnnotationError]: Of the kind ``'unused'``.
        """
        return []


def parse_json(data, source):
    """Parse JSON from a file.

    Args:
        data (str | bytes): The JSON.
        source (str): Where it is from.

    Returns:
        The parsed content.

    Raises:
        AnnotationError: It is no valid JSON; the source is named.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            'file', f'{source}: not valid JSON ({error}); repair it or get it again'
        ) from error


def check_split(value, where):
    """Check that the name of a split is text.

    Raises:
        AnnotationError: It isn't.
    """
    if not isinstance(value, str) or not value.strip():
        raise AnnotationError(
            'split', f'{where}: split must be text such as train, got {value!r}'
        )


def is_id(value):
    """Whether something can identify an entry."""
    # True is an int, and equals 1.
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def is_length(value):
    """Whether something can be a number of pixels."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def require(entry, keys, where):
    """Check that an entry is a dict with some keys and readable ids.

    Args:
        entry: The entry.
        keys (Sequence[str]): Keys that it must have. Those ending in ``id``
            must hold a number or text.
        where (str): File and place, for messages.

    Raises:
        AnnotationError: It isn't so.
    """
    if not isinstance(entry, dict):
        raise AnnotationError(
            'entry', f'{where}: expected a dict, got {type(entry).__name__}'
        )
    for key in keys:
        if key not in entry:
            raise AnnotationError('entry', f'{where} has no {key!r}')
        if key.endswith('id') and not is_id(entry[key]):
            raise AnnotationError(
                'id', f'{where}: an id must be a number or text, got {entry[key]!r}'
            )


def check_expressions(expressions, where):
    """Strip expressions and refuse empty ones.

    Args:
        expressions (list): Sentences of one object.
        where (str): File and entry, for messages.

    Returns:
        list[str]: The sentences without white space around them.

    Raises:
        AnnotationError: There is none, or one is empty or no string.
    """
    if not expressions:
        raise AnnotationError('expression', f'{where} has no expression. {LEAVE_OUT}')
    for position, text in enumerate(expressions):
        if not visible_text(text):
            raise AnnotationError(
                'expression',
                f'{where}: expression {position} is empty or not text '
                f'({text!r}). {LEAVE_OUT}',
            )
    return [text.strip() for text in expressions]
