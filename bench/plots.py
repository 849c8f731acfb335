"""Time against size, log-log, one PNG per family of cases whose names end in a number (`sizes/scan/1000`, ...)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path


def draw(lines: list[dict], folder: Path) -> list[Path]:
    """One picture per family with at least two sizes; none without matplotlib."""
    families: dict[str, dict[int, dict]] = defaultdict(dict)
    for line in lines:
        family, _, size = line["case"].rpartition("/")
        if size.isdigit():
            families[family][int(size)] = line["forms"]
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("agg")
    return [picture(name, sizes, folder) for name, sizes in families.items() if len(sizes) > 1]


def picture(name: str, sizes: dict[int, dict], folder: Path) -> Path:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 5.5), layout="constrained")
    for form in dict.fromkeys(form for forms in sizes.values() for form in forms):
        points = sorted((size, forms[form]["median_s"]) for size, forms in sizes.items() if form in forms)
        axes.loglog(*zip(*points), marker="o", linestyle="--" if form.startswith("copy") else "-", label=form)
    axes.set_xlabel("rows")
    axes.set_ylabel("CPU seconds, median")
    axes.set_title(name)
    axes.grid(True, which="both", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    path = folder / f"{name.replace('/', '-')}.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
