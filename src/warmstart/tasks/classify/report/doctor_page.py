"""The doctor's findings as one HTML file: thumbnails by kind, the worst first. It fetches nothing and runs no script."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from warmstart.atomic import write_asked
from warmstart.extraction.prefetch import map_ahead
from warmstart.inspection.findings import KINDS, Finding, Kind
from warmstart.report.thumbnails import HEIGHT_PX, thumbnail

SHOWN = 120  # findings of a kind on the page, about 5 kB a picture; the others are counted
GROUP_SHOWN = 6  # pictures of one group of copies
OPEN = ("copy", "near-copy", "label", "outlier")  # kinds that are judged by eye

STYLE = f"""
:root {{ color-scheme: light dark; --ink: #222; --pale: #666; --line: #ddd; --card: #fff; --ground: #f5f5f3; --mark: #a33b00; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e6e6; --pale: #a3a3a3; --line: #3a3a3a; --card: #232323; --ground: #181818; --mark: #ff9d66; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 76rem; background: var(--ground); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.5rem; margin: 0 0 .25rem; }}
h2 {{ font-size: 1.15rem; display: inline; }}
p {{ margin: .35rem 0; }}
.pale, figcaption {{ color: var(--pale); }}
nav {{ display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; }}
nav a {{ color: inherit; text-decoration: none; border: 1px solid var(--line); border-radius: 1rem; padding: .1rem .75rem;
  background: var(--card); }}
details {{ border-top: 1px solid var(--line); padding: .75rem 0; }}
summary {{ cursor: pointer; }}
.cards {{ display: grid; gap: .75rem; margin-top: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16.5rem), 1fr)); }}
.cards.single {{ grid-template-columns: repeat(auto-fill, minmax(min(100%, 9.5rem), 1fr)); }}
.single img {{ margin: 0 auto; }}
article {{ background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem; }}
.pictures {{ display: flex; flex-wrap: wrap; gap: .5rem; }}
figure {{ margin: 0; max-width: 100%; }}
.single figure {{ width: 100%; }}
.group figure {{ max-width: calc(50% - .25rem); }}
img, .gone {{ height: {HEIGHT_PX}px; max-width: 100%; display: block; border-radius: .25rem; object-fit: contain; }}
.gone {{ width: 6rem; border: 1px dashed var(--line); padding: .5rem; font-size: .8rem; color: var(--pale); }}
figcaption {{ font-size: .75rem; line-height: 1.3; margin-top: .2rem; }}
article p {{ font-size: .85rem; }}
article p.pale {{ font-size: .75rem; }}
.across {{ color: var(--mark); font-weight: 600; }}
li {{ margin: .25rem 0; }}
"""


def write_page(
    target: Path,
    document: Mapping[str, Any],
    findings: Sequence[Finding],
    pictures: Mapping[str, tuple[str, str | None]],
    *,
    on_progress: Callable[[str, int, int], None],
) -> int:
    """Write the page; returns its size in bytes. ``document``: a diagnosis as JSON; ``pictures``: path → class and split.

    Raises what `atomic.write_asked` raises.
    """
    shown = {kind: [f for f in findings if f.kind == kind][:SHOWN] for kind in KINDS}
    paths = list(
        dict.fromkeys(
            [
                *(path for notice in document.get("notices", ()) for path in notice["paths"]),
                *(p for kind, some in shown.items() if kind != "broken" for f in some for p in f.paths[:GROUP_SHOWN]),
            ]
        )
    )
    images = {}
    for done, (path, image) in enumerate(zip(paths, map_ahead(thumbnail, paths), strict=True), 1):
        images[path] = image
        on_progress("drawing", done, len(paths))
    text = "".join(_page(document, shown, pictures, images))
    content = text.encode("utf-8", "backslashreplace")
    write_asked("--page", target, content)
    return len(content)


def _page(
    document: Mapping[str, Any],
    shown: Mapping[Kind, Sequence[Finding]],
    pictures: Mapping[str, tuple[str, str | None]],
    images: Mapping[str, str | None],
) -> Iterator[str]:
    source, counts = escape(str(document["source"])), document["counts"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{source}: findings</title><style>{STYLE}</style></head><body>"
    yield f"<h1>What to look at in {source}</h1>"
    yield f'<p class="pale">{document["images"]:,} readable pictures, {len(document["classes"])} classes. '
    yield "No file was changed. Decide in the list of fixes (warmstart doctor … --fix-list fixes.csv).</p>"
    if not counts:
        yield "<p>Nothing was found.</p>"
    if document["labels"] is not None:
        known = document["labels"]
        yield f"<p>A probe on frozen features, held out by folds, agrees with {known['accuracy']:.1%} of the labels; "
        yield f"confident learning counts {known['confident_errors']:,} labels that the data contradicts.</p>"
    for notice in document.get("notices", ()):
        yield f'<p class="across">{escape(_sentence(notice["message"]))}</p>'
        yield '<div class="pictures">' + "".join(_figure(path, pictures, images) for path in notice["paths"]) + "</div>"
    yield "".join(f'<p class="across">{escape(note)}</p>' for note in document["notes"])
    yield "<nav>"
    yield "".join(f'<a href="#{kind}">{escape(KINDS[kind].title)} {count:,}</a>' for kind, count in counts.items())
    yield "</nav>"
    for kind, count in counts.items():
        about = KINDS[kind]
        yield f'<details id="{kind}"{" open" if kind in OPEN else ""}><summary><h2>{escape(about.title)}: {count:,}</h2></summary>'
        yield f'<p class="pale">{escape(about.explanation)}'
        yield f" The first {SHOWN} are shown, {count - SHOWN:,} more are in the list of fixes.</p>" if count > SHOWN else "</p>"
        if kind in ("broken", "class"):
            yield "<ul>" + "".join(f"<li>{escape(f.detail)}; {escape(f.suggestion)}</li>" for f in shown[kind]) + "</ul>"
        else:
            alone = all(len(finding.paths) == 1 for finding in shown[kind])
            yield (
                f'<div class="cards{" single" if alone else ""}">'
                + "".join(_card(f, pictures, images) for f in shown[kind])
                + "</div>"
            )
        yield "</details>"
    yield "</body></html>\n"


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."


def _card(finding: Finding, pictures: Mapping[str, tuple[str, str | None]], images: Mapping[str, str | None]) -> str:
    start = '<article class="group">' if len(finding.paths) > 1 else "<article>"
    figures = "".join(_figure(path, pictures, images) for path in finding.paths[:GROUP_SHOWN])
    across = f'<p class="across">across {" and ".join(finding.across)}</p>' if finding.across else ""
    unseen = len(finding.paths) - GROUP_SHOWN
    detail = escape(finding.detail) + (f"; {unseen} more not shown" if unseen > 0 else "")
    suggestion = escape(finding.suggestion)
    return f'{start}<div class="pictures">{figures}</div>{across}<p>{detail}</p><p class="pale">{suggestion}</p></article>'


def _figure(path: str, pictures: Mapping[str, tuple[str, str | None]], images: Mapping[str, str | None]) -> str:
    class_name, split = pictures.get(path, ("", None))
    image = images.get(path)
    place = " · ".join(part for part in (class_name, split) if part)
    shown = escape(f"{place}: {Path(path).name}")
    drawn = f'<img src="{image}" alt="{shown}">' if image else '<div class="gone">cannot be decoded</div>'
    return f'<figure title="{escape(path)}">{drawn}<figcaption><b>{escape(place)}</b><br>{escape(Path(path).name)}</figcaption></figure>'
