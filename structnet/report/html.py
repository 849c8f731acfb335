"""One self-contained page per run: accuracy by split, curves, a few pictures, settings, machine, commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from structnet.report.charts import bar_chart, line_chart

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; max-width: 920px; margin: 32px auto; padding: 0 20px; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 34px 0 10px; }
p.sub { color: #5b6775; margin: 0 0 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid #e3e8ee; }
th { color: #5b6775; font-weight: 600; }
th:first-child, td:first-child { text-align: left; } tr.inside { background: #f4f7ee; }
figure { margin: 14px 0 24px; overflow-x: auto; }
figure table { width: auto; } figure td, figure td:first-child { text-align: center; }
figcaption { color: #5b6775; font-size: 13.5px; margin-bottom: 6px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; font-size: 13.5px; }
dt { color: #5b6775; } dd { margin: 0; overflow-wrap: anywhere; }
"""


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[tuple[str, str]]) -> Path:
    """A page of headed sections (HTML fragments) with the house style; no network, no scripts."""
    body = "".join(f"<h2>{escape(head)}</h2>{fragment}" for head, fragment in sections if fragment)
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f'<body><h1>{escape(title)}</h1><p class="sub">{escape(subtitle)}</p>{body}</body></html>',
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
    wall, cpu = (max((e.get(name, 0) for e in events), default=0) / 60 for name in ("time", "cpu"))
    headline = next(name for name in next(iter(results.values())) if name not in ("by", "count"))
    bars = [(name, r[headline], _half(r[headline], r["count"])) for name, r in results.items()]
    curves = {"training loss": [(e["step"], e["loss"]) for e in updates]}
    scores = {f"validation {headline}": [(e["step"], e[headline]) for e in marks]}
    drawn = "".join(f"<figure><figcaption>{escape(text)}</figcaption>{svg}</figure>" for text, svg in pictures)
    sections = [
        (f"{headline.capitalize()} by split", "<p class='sub'>Shaded: inside the training range. "
         "Whiskers: 95 % interval "
         f"over the rows of the split.</p>{bar_chart(bars, in_range, chance)}{_table(results, in_range, headline)}"),
        ("Training", line_chart(curves, "updates") + line_chart(scores, "updates")),
        ("Examples", drawn),
        (f"By group of samples ({headline}, %)", _breakdown(results)),
        ("Settings", _list({k: v for k, v in config.items() if k not in ("machine", "commit")})),
        ("Where it was made", _list({"commit": config["commit"], **config["machine"]})),
    ]  # fmt: skip
    title = f"{config['task']}: {config['model']}"
    steps = updates[-1]["step"] if updates else 0
    subtitle = f"{steps:,} updates, {wall:.1f} minutes ({cpu:.1f} of CPU time)"
    return write_page(folder / "report.html", title, subtitle, sections)


def _half(share: float, count: int) -> float:
    return 1.96 * (max(share * (1 - share), 0.0) / max(count, 1)) ** 0.5


def _table(results: dict[str, Any], in_range: frozenset[str], headline: str) -> str:
    names = [name for name in next(iter(results.values())) if name not in ("by", "count")]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("split", "rows", *names))
    rows = []
    for split, r in results.items():
        share = f"{100 * r[headline]:.2f} ± {100 * _half(r[headline], r['count']):.2f} %"
        cells = "".join(f"<td>{share if name == headline else f'{r[name]:.4f}'}</td>" for name in names)
        inside = " class=inside" if split in in_range else ""
        rows.append(f"<tr{inside}><td>{escape(split)}</td><td>{r['count']}</td>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _breakdown(results: dict[str, Any]) -> str:
    """One line per key of the last in-distribution split and of the hardest one."""
    hardest = min(results, key=lambda name: next(iter(results[name].values())))
    parts = []
    for split in dict.fromkeys([next(iter(results)), hardest]):
        for key, groups in results[split]["by"].items():
            cells = "".join(
                f"<td>{escape(name)}<br>{100 * g['mean']:.1f}<br><small>{g['count']}</small></td>"
                for name, g in list(groups.items())[:12]
            )
            caption = f"{escape(split)} by {escape(key)} (group, score, rows)"
            parts.append(f"<figure><figcaption>{caption}</figcaption><table><tr>{cells}</tr></table></figure>")
    return "".join(parts)


def _list(entries: dict[str, Any]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in entries.items()) + "</dl>"
