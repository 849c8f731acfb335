"""`structnet info`: what is installed and what is in use."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "torch-geometric", "numpy", "networkx", "triton", "torch-scatter", "matplotlib")


def main(argv: list[str]) -> int:
    from structnet import __version__, native
    from structnet.systems import shipped_names
    from structnet.training.record import machine

    rows = {"structnet": __version__, **{name: _version(name) for name in PACKAGES}}
    rows["compiled library"] = native.status()
    rows["shipped checkpoints"] = ", ".join(shipped_names()) or "none"
    rows["cache"] = str(native.cache_folder())
    rows["machine"] = ", ".join(f"{key} {value}" for key, value in machine().items() if key not in ("torch",))
    print("\n".join(f"{name:22}{value}" for name, value in rows.items()))
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
