"""Shared fixtures: one thread (runs repeat bit for bit), real data where a user has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():  # before anything imports triton, whose own functions are decorated on import
    os.environ.setdefault("TRITON_INTERPRET", "1")
settings.register_profile("structnet", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("structnet")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data sets (STRUCTNET_DATA, or shared/data beside the checkout)."""
    folder = Path(os.environ.get("STRUCTNET_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set STRUCTNET_DATA to run this test")
    return folder
