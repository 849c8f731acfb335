"""The interpreter shows that kernels compute the right thing; here compiler and assembler for GPUs accept them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

from structnet import kernels


@pytest.mark.parametrize(
    "capability, types", [("90", "float32,bfloat16"), pytest.param("80", "float32,float64", marks=pytest.mark.slow)]
)
def test_every_kernel_compiles(capability, types):
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_DEFAULT_FP_FUSION": "1"}
    command = [sys.executable, "-m", "tests.kernels.triton_for_gpus", capability, types]
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    forms = list(Path(kernels.__path__[0]).glob("*/triton_form.py"))
    assert all(done.stdout.count(f"{form.parent.name}.triton_form") == 2 for form in forms)  # once a type
