"""One self-contained page per run: accuracy by split, curves, a few pictures, settings, machine, commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from structnet.report.charts import bar_chart, line_chart

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; background: #f6f8fa; margin: 0; }
main { max-width: 940px; margin: 0 auto; padding: 34px 20px 60px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; } h2 { font-size: 18px; margin: 0 0 10px; }
p.sub { color: #5b6775; margin: 0 0 10px; }
section { background: #fff; border: 1px solid #e3e8ee; border-radius: 10px; padding: 18px 22px; margin: 18px 0 0; }
ul.facts { display: flex; flex-wrap: wrap; gap: 12px; list-style: none; margin: 18px 0 0; padding: 0; }
ul.facts li { flex: 1 1 140px; background: #fff; border: 1px solid #e3e8ee; border-radius: 10px; padding: 10px 16px; }
ul.facts { color: #5b6775; }
ul.facts b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; color: #1d2733; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid #e3e8ee; }
th { color: #5b6775; font-weight: 600; } tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; } tr.inside { background: #f4f7ee; }
figure { margin: 14px 0 20px; overflow-x: auto; } figure:last-child { margin-bottom: 4px; }
figcaption { color: #5b6775; font-size: 13.5px; margin-bottom: 6px; position: sticky; left: 0; }
.groups { display: flex; flex-wrap: wrap; gap: 3px; text-align: center; font-variant-numeric: tabular-nums; }
.groups div { flex: 1 1 58px; max-width: 112px; border-radius: 5px; padding: 4px 2px; line-height: 1.3; }
.groups small { color: #3d4854; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; font-size: 13.5px; margin: 0; }
dl.wide { grid-template-columns: repeat(2, max-content 1fr); } dt { color: #5b6775; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 640px) { dl.wide { grid-template-columns: max-content 1fr; } }
"""


def write_page(
    path: Path, title: str, subtitle: str, sections: Sequence[tuple[str, str]], facts: Mapping[str, str] | None = None
) -> Path:
    """A page of headed sections (HTML fragments) with the house style; `facts` stand in large figures on top. No
    network, no scripts."""
    body = "".join(f"<section><h2>{escape(head)}</h2>{part}</section>" for head, part in sections if part)
    top = "".join(f"<li><b>{escape(value)}</b>{escape(name)}</li>" for name, value in (facts or {}).items())
    top = f"<ul class=facts>{top}</ul>" if top else ""
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><body><main>'
        f'<h1>{escape(title)}</h1><p class="sub">{escape(subtitle)}</p>{top}{body}</main></body></html>',
        encoding="utf-8",
    )
    return path


def run_report(
    folder: Path,
    events: Sequence[dict[str, Any]],
    in_range: frozenset[str],
    chance: float,
    pictures: Sequence[tuple[str, str]] = (),
) -> Path:
    """`folder/report.html` from the run's settings.json, results.json and log `events`."""
    config = json.loads((folder / "settings.json").read_text())
    results = json.loads((folder / "results.json").read_text())
    updates = [e for e in events if e["event"] == "update"]
    marks = [e for e in events if e["event"] == "evaluate"]
    headline = _columns(results)[0]
    bars = [(name, r[headline], _half(headline, r)) for name, r in results.items()]
    curves = {"training loss": [(e["step"], e["loss"]) for e in updates]}
    scores = {f"validation {headline}": [(e["step"], e[headline]) for e in marks if headline in e]}
    drawn = "".join(f"<figure><figcaption>{escape(text)}</figcaption>{svg}</figure>" for text, svg in pictures)
    shaded = "<p class='sub'>Shaded: inside the training range. Whiskers: 95 % interval over the rows of the split.</p>"
    settings = {k: v for k, v in config.items() if k not in ("machine", "commit", "task", "model")}
    sections = [
        (f"{headline.capitalize()} by split", shaded + bar_chart(bars, in_range, chance) + _table(results, in_range)),
        ("Training", line_chart(curves, "updates") + line_chart(scores, "updates")),
        ("Examples", drawn),
        (f"{headline.capitalize()} by group of samples", _breakdown(results, headline)),
        ("Settings", _list(settings.items(), "wide")),
        ("Where it was made", _list({"commit": config["commit"], **config["machine"]}.items())),
    ]
    wall, cpu = (max((e.get(name, 0) for e in events), default=0) / 60 for name in ("time", "cpu"))
    steps = updates[-1]["step"] if updates else 0
    subtitle = f"{steps:,} updates, {wall:.1f} minutes ({cpu:.1f} of CPU time)"
    hardest = min(results, key=lambda name: results[name][headline])
    facts = {f"{name}: {headline}": _share(results[name][headline]) for name in dict.fromkeys([*results][:2])}
    facts |= {f"{hardest}: {headline}, the hardest": _share(results[hardest][headline])} if len(results) > 2 else {}
    title = f"{config['task']}: {config['model']}"
    return write_page(folder / "report.html", title, subtitle, sections, facts)


def _columns(results: Mapping[str, dict[str, Any]]) -> list[str]:
    """Names of the figures, the headline first."""
    return [name for name in next(iter(results.values())) if name not in ("by", "count")]


def _half(name: str, result: dict[str, Any]) -> float:
    """Half-width of the 95 % interval of a proportion; 0 for what is none."""
    share = result[name]
    return 1.96 * (share * (1 - share) / max(result["count"], 1)) ** 0.5 if "accuracy" in name else 0.0


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _table(results: Mapping[str, dict[str, Any]], in_range: frozenset[str]) -> str:
    names, rows = _columns(results), []
    head = "".join(f"<th>{escape(name)}</th>" for name in ("split", "rows", *names))
    for split, r in results.items():
        cells = "".join(f"<td>{_cell(name, r)}</td>" for name in names)
        inside = " class=inside" if split in in_range else ""
        rows.append(f"<tr{inside}><td>{escape(split)}</td><td>{r['count']:,}</td>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _cell(name: str, result: dict[str, Any]) -> str:
    if "accuracy" not in name:
        return f"{result[name]:.4f}"
    return f"{100 * result[name]:.2f} ± {100 * _half(name, result):.2f} %"


def _breakdown(results: Mapping[str, dict[str, Any]], headline: str) -> str:
    """For the first split and the hardest one, a row of groups per key, redder where more is wrong."""
    hardest = min(results, key=lambda name: results[name][headline])
    parts = []
    for split in dict.fromkeys([next(iter(results)), hardest]):
        for key, groups in results[split].get("by", {}).items():
            cells = "".join(_group(name, group) for name, group in list(groups.items())[:16])
            caption = f"<figcaption>{escape(split)} by {escape(key)}</figcaption>"
            parts.append(f"<figure>{caption}<div class=groups>{cells}</div></figure>")
    note = "<p class='sub'>Each cell: the group, its score in per cent, its rows.</p>"
    return note + "".join(parts) if parts else ""


def _group(name: str, group: dict[str, float]) -> str:
    red = 1 - min(max(group["mean"], 0.0), 1.0)
    colour = f"rgb({230 + 20 * red:.0f},{243 - 50 * red:.0f},{234 - 50 * red:.0f})"
    count = f"<small>{group['count']:,}</small>"
    figure = f"<small>{escape(name)}</small><br>{100 * group['mean']:.1f}<br>{count}"
    return f"<div style='background:{colour}'>{figure}</div>"


def _list(entries: Iterable[tuple[str, Any]], kind: str = "") -> str:
    items = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(_plain(v))}</dd>" for k, v in entries)
    return f"<dl class='{kind}'>{items}</dl>"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "-"
    return "-" if value is None else str(value)


def floor_table(floors: dict[str, dict[str, dict[str, float]]]) -> str:
    """Per split and floor the figures, as a table; nothing for a task without floors."""
    rows = []
    for split, found in floors.items():
        for name, figures in found.items():
            cells = "".join(f"<td>{escape(key)} {value:.4f}</td>" for key, value in figures.items())
            rows.append(f"<tr><td>{escape(split)}</td><td>{escape(name)}</td>{cells}</tr>")
    return f"<table>{''.join(rows)}</table>" if rows else ""
