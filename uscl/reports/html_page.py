"""Build a self-contained web page from a template: inline style and script, embedded images, no external resources.

The text of a page is in ``templates/``; Python supplies values and figures. Every value is escaped.
"""

import base64
import io
import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from uscl.core.atomic_files import write_text

if TYPE_CHECKING:  # pages without figures need not wait for it
    from matplotlib.figure import Figure


def write_page(path: str | Path, template: str, **content: Any) -> None:
    """Write a page atomically, creating its folder: readers see the old page or the new one, never half of it.

    Args:
        path: The file.
        template: Name of a template in ``templates``.
        **content: Variables of the template; every page has ``title`` and ``subtitle`` (may be empty).

    Raises:
        jinja2.UndefinedError: The template uses a variable that was not given.
    """
    write_text(path, render(template, **content))


def render(template: str, **content: Any) -> str:
    """The text of a page, see :func:`write_page`."""
    text = _environment().get_template(template).render(content)
    return re.sub(r'[ \t]*\n\s*(?=[^<\s])', ' ', text)  # put each paragraph of the template on one line


def picture(figure: 'Figure', alt: str, dpi: int = 130) -> Markup:
    """Embed a figure as an image in the page.

    Args:
        figure: The figure; rendered immediately, so it can be discarded.
        alt: Description for readers who cannot see it.
        dpi: Pixels per inch.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=dpi, metadata={'Software': None})
    # Displayed at 100 pixels per inch at most: the remaining resolution is for high-density screens.
    width = round(100 * figure.get_figwidth())
    size = f'width="{width}" style="--width: {width}px"'
    return Markup(f'<img src="data:image/png;base64,{_base64(buffer.getvalue())}" alt="{escape(alt)}" {size}>')


def photograph(picture: bytes, alt: str) -> Markup:
    """Embed a JPEG or WebP file as an image in the page."""
    kind = 'webp' if picture.startswith(b'RIFF') else 'jpeg'
    return Markup(f'<img src="data:image/{kind};base64,{_base64(picture)}" alt="{escape(alt)}">')


def percent(share: float | None) -> str:
    """A fraction in [0, 1] as a percentage with a non-breaking space; undefined values are a dash.

    >>> percent(0.98077).split(), percent(float('nan'))
    (['98.1', '%'], '–')
    """
    return '–' if share is None or math.isnan(share) else f'{100 * share:.1f}\u00a0%'


def number(value: float | None, digits: int = 3) -> str:
    """A number with the given number of decimals; undefined values are a dash."""
    return '–' if value is None or math.isnan(value) else f'{value:.{digits}f}'


def count(how_many: int, noun: str) -> str:
    """A number followed by its noun.

    >>> count(1, 'lesion'), count(0, 'lesion')
    ('1 lesion', '0 lesions')
    """
    return f'{how_many} {noun}' + ('' if how_many == 1 else 's')


def fact(value: Any) -> str:
    """Any plain value, on one line."""
    if isinstance(value, dict):
        return ', '.join(f'{name} {fact(item)}' for name, item in value.items())
    if isinstance(value, list | tuple):
        return ', '.join(fact(item) for item in value)
    return f'{value:.6g}' if isinstance(value, float) else str(value)


def unbroken(cell: str) -> str:
    """A cell whose intervals do not wrap."""
    return cell.replace(' %', '\u00a0%').replace(' to ', '\u00a0to\u00a0').replace('SD ', 'SD\u00a0')


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader('uscl.reports'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for helper in (picture, photograph, percent, number, count, fact, unbroken):
        environment.filters[helper.__name__] = helper
    return environment


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode('ascii')
