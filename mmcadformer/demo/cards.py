# SPDX-License-Identifier: Apache-2.0
"""The numbers of a result as HTML."""

from __future__ import annotations

from html import escape

from .files import Files
from .models import Finding


def title_html(finding: Finding, show_model: bool) -> str:
    """The sentence, and the model where there are several."""
    model = f'<span class="model">{escape(finding.model)}</span>' if show_model else ''
    return f'<h3>{escape(finding.result.expression)}{model}</h3>'


def numbers_html(finding: Finding, files: Files) -> str:
    """Score, area and time, and what the visitor should know."""
    result = finding.result
    pixels = int(result.mask.sum())
    together = f'for {finding.sentences} sentences' if finding.sentences > 1 else ''
    facts = [
        ('score', f'{result.score:.3f}', 'mean confidence inside the mask'),
        ('area', f'{pixels:,} px', f'{pixels / result.mask.size:.1%} of the picture'),
        ('time', _seconds(finding.seconds), together),
    ]
    if files.area is not None:
        facts.insert(2, ('on the ground', _square_metres(files.area), ''))
    cells = ''.join(
        f'<div class="{name.replace(" ", "-")}"><dt>{name}</dt><dd>{value}'
        f'<small>{remark}</small></dd></div>'
        for name, value, remark in facts
    )
    return f'<dl class="numbers">{cells}</dl>{_remarks(finding, pixels)}'


def message_html(text: str, kind: str) -> str:
    """A message for the visitor.

    Args:
        text: What to say.
        kind: 'error' or 'note'.
    """
    role = 'alert' if kind == 'error' else 'status'
    return f'<p class="message {kind}" role="{role}">{escape(text)}</p>'


def _remarks(finding: Finding, pixels: int) -> str:
    remarks = []
    if not pixels:
        remarks.append(
            'Nothing found: no pixel is more likely on the object than beside it.'
        )
    if finding.cut is not None:
        remarks.append(
            f'The sentence is longer than the model can read. It read “{finding.cut}”; '
            'the rest was cut off.'
        )
    return ''.join(message_html(remark, 'note') for remark in remarks)


def _seconds(seconds: float) -> str:
    return f'{seconds:.2f} s' if seconds >= 0.995 else f'{1000 * seconds:.0f} ms'


def _square_metres(area: float) -> str:
    return f'{area:,.1f} m²' if area < 1000 else f'{area:,.0f} m²'
