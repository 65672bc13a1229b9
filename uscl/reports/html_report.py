"""A web page in one file: inline style, images inside, no script, nothing loaded from elsewhere."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from uscl.core.atomic_files import write_text

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: #1f2933; font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto,
  'Helvetica Neue', Arial, sans-serif; }
header, main { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 36px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
header p { color: #52606d; margin: 8px 0 0; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 0 0 8px; }
h3 { font-size: 1rem; line-height: 1.3; margin: 22px 0 0; }
section { background: #fff; border: 1px solid #e1e6eb; border-radius: 10px; padding: 20px 24px; margin: 18px 0; }
p { margin: 8px 0; max-width: 78ch; }
.cards { display: flex; flex-wrap: wrap; gap: 14px; margin: 20px 0; }
.card { flex: 1 1 230px; background: #fff; border: 1px solid #e1e6eb; border-top: 3px solid #0b6e99;
  border-radius: 10px; padding: 12px 16px 14px; }
.card .name { color: #52606d; font-size: .88rem; line-height: 1.35; }
.card .value { font-size: 1.55rem; font-weight: 650; line-height: 1.35; font-variant-numeric: tabular-nums; }
.card .value .from { color: #7b8794; font-weight: 500; }
.card .note { color: #52606d; font-size: .84rem; line-height: 1.35; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 12px 0 6px; font-size: .94rem; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 18px 7px 0; text-align: left; border-bottom: 1px solid #e1e6eb; vertical-align: top; }
thead th { color: #52606d; font-weight: 600; border-bottom: 2px solid #cbd2d9; }
td { overflow-wrap: anywhere; min-width: 6em; }
td:first-child { min-width: 8em; }
figure { margin: 14px 0 4px; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: #52606d; font-size: .9rem; margin-top: 8px; max-width: 90ch; }
code { font: .88em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: #f0f3f6; padding: 1px 5px;
  border-radius: 4px; overflow-wrap: anywhere; }
.warning { background: #fdecea; color: #7a1c12; border: 2px solid #c62828; border-radius: 10px; padding: 12px 20px;
  margin: 18px 0; font-weight: 600; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(172px, 1fr)); gap: 16px 14px;
  margin: 14px 0; }
.gallery .picture { height: 160px; background: #f0f3f6; border-radius: 6px; display: flex; align-items: center;
  justify-content: center; overflow: hidden; color: #7b8794; font-size: .82rem; }
.gallery img { max-width: 100%; max-height: 100%; }
.gallery .line { font-size: .82rem; line-height: 1.35; overflow-wrap: anywhere; color: #52606d; }
.gallery .line:nth-child(2) { color: #1f2933; font-weight: 600; margin-top: 5px; }
@media (max-width: 640px) { header, main { padding-left: 12px; padding-right: 12px; } section { padding: 14px; }
  h1 { font-size: 1.5rem; } }
@media print { body { background: #fff; } section, .card, .gallery > div { break-inside: avoid; } }
"""


class HtmlReport:
    """A page that is filled from top to bottom; every text given to it is escaped.

    Args:
        title: Heading of the page and title of the window.
        subtitle: A sentence below it.

    >>> report = HtmlReport('Pretraining')
    >>> report.heading('Data')
    >>> report.paragraph('15 videos <of> 3 classes')
    >>> '<p>15 videos &lt;of&gt; 3 classes</p>' in report.render()
    True
    """

    def __init__(self, title: str, subtitle: str = '') -> None:
        self._title = title
        self._subtitle = subtitle
        self._parts: list[str] = []
        self._in_section = False

    def cards(self, cards: Sequence[tuple[str, str, str, str]]) -> None:
        """Add a row of key numbers, outside any section.

        Args:
            cards: One ``(name, before, after, note)`` a card; an empty ``before`` shows ``after`` alone.
        """
        self._close_section()
        items = []
        for name, before, after, note in cards:
            value = f'<span class="from">{escape(before)} → </span>{escape(after)}' if before else escape(after)
            items.append(
                f'<div class="card"><div class="name">{escape(name)}</div><div class="value">{value}</div>'
                f'<div class="note">{escape(note)}</div></div>'
            )
        self._parts.append(f'<div class="cards">{"".join(items)}</div>')

    def warning(self, text: str) -> None:
        """Add a red box that nobody overlooks."""
        self._parts.append(f'<div class="warning" role="alert"><p>{escape(text)}</p></div>')

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._close_section()
        self._parts.append(f'<section>\n<h2>{escape(text)}</h2>')
        self._in_section = True

    def subheading(self, text: str) -> None:
        """Begin a part of a section."""
        self._parts.append(f'<h3>{escape(text)}</h3>')

    def paragraph(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f'<p>{escape(text)}</p>')

    def code(self, text: str) -> None:
        """Add a line of code, such as a command."""
        self._parts.append(f'<p><code>{escape(text)}</code></p>')

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; it scrolls sideways where the screen is too narrow.

        Args:
            header: Names of the columns; empty for a table without them.
            rows: Cells of the body, as many in each as there are names.

        Raises:
            ValueError: A row is longer or shorter than the header.
        """
        for row in rows:
            if header and len(row) != len(header):
                raise ValueError(f'A row should have {len(header)} cells, got {row!r}.')
        names = ''.join(f'<th>{escape(name)}</th>' for name in header)
        head = f'<thead><tr>{names}</tr></thead>' if header else ''
        body = ''.join('<tr>' + ''.join(f'<td>{escape(cell)}</td>' for cell in row) + '</tr>' for row in rows)
        self._parts.append(f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>')

    def gallery(self, items: Sequence[tuple[bytes | None, Sequence[str]]]) -> None:
        """Add a grid of small pictures, each with lines of text below it.

        Args:
            items: One ``(picture, lines)`` each: a JPEG file as bytes, or None where there is none; at least one line,
                the first of which also describes the picture to those who do not see it.
        """
        cells = []
        for picture, lines in items:
            shown = 'no picture'
            if picture is not None:
                data = base64.b64encode(picture).decode('ascii')
                shown = f'<img src="data:image/jpeg;base64,{data}" alt="{escape(lines[0])}">'
            text = ''.join(f'<div class="line">{escape(line)}</div>' for line in lines)
            cells.append(f'<div><div class="picture">{shown}</div>{text}</div>')
        self._parts.append(f'<div class="gallery">{"".join(cells)}</div>')

    def figure(self, figure: Figure, caption: str, alt: str, dpi: int = 130) -> None:
        """Add a figure as an image inside the page.

        Args:
            figure: It is rendered at once and can be discarded.
            caption: Text below it.
            alt: What it shows, for those who do not see it.
            dpi: Pixels an inch.
        """
        buffer = io.BytesIO()
        figure.savefig(buffer, format='png', dpi=dpi, metadata={'Software': None})
        data = base64.b64encode(buffer.getvalue()).decode('ascii')
        # Drawn at 100 pixels an inch at most: the rest of the resolution is for screens of high density.
        width = round(100 * figure.get_figwidth())
        self._parts.append(
            f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="{width}">'
            f'<figcaption>{escape(caption)}</figcaption></figure>'
        )

    def render(self) -> str:
        """The whole page as HTML 5."""
        end = ['</section>'] if self._in_section else []
        subtitle = f'<p>{escape(self._subtitle)}</p>' if self._subtitle else ''
        return '\n'.join(
            [
                '<!DOCTYPE html>',
                '<html lang="en"><head><meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f'<title>{escape(self._title)}</title>',
                f'<style>{_STYLE}</style></head><body>',
                f'<header><h1>{escape(self._title)}</h1>{subtitle}</header>',
                '<main>',
                *self._parts,
                *end,
                '</main></body></html>',
                '',
            ]
        )

    def write(self, path: str | Path) -> None:
        """Write the page in one step, making its folder: readers see the old page or the new one, never half of it."""
        write_text(path, self.render())

    def _close_section(self) -> None:
        if self._in_section:
            self._parts.append('</section>')
        self._in_section = False
