"""The compiled library: built once however many processes ask for it at the same time."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from structnet import native


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_those_that_start_together_compile_once(tmp_path, monkeypatch):
    log, compiler = tmp_path / "log", tmp_path / "compiler"
    (tmp_path / "one.cpp").write_text('extern "C" int one() { return 1; }')
    compiler.write_text(f'#!/bin/sh\necho called >> {log}\nexec g++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setattr(native, "PACKAGE", tmp_path)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STRUCTNET_NATIVE", "1")
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(lambda _: native._load.__wrapped__(), range(2)))
    assert [library.one() for library, _ in loaded] == [1, 1]
    assert log.read_text().split() == ["called"] * 2  # one source, one link
