"""What the recipe promises, each promise broken on purpose once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from structnet.errors import StructureError
from structnet.training import Diverged, TrainSettings, checkpoint
from structnet.training.record import read_log
from structnet.training.sampler import epoch_batches
from tests.training.toy import SETTINGS, Toy, ToyModel, trainer

ROOT = Path(__file__).parents[2]


def figures(folder: Path) -> list[dict]:
    """The log without times, and without the line that says where a run was taken up."""
    events = [{k: v for k, v in e.items() if k not in ("time", "cpu")} for e in read_log(folder / "log.jsonl")]
    return [e for e in events if e["event"] != "resume"]


def same_run(one: Path, other: Path) -> None:
    assert figures(one) == figures(other)
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    newest = [sorted((folder / "checkpoints").glob("step-*"))[-1] for folder in (one, other)]
    assert (newest[0] / "model.safetensors").read_bytes() == (newest[1] / "model.safetensors").read_bytes()
    assert (newest[0] / "average.safetensors").read_bytes() == (newest[1] / "average.safetensors").read_bytes()


def script(folder: Path, *settings: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    command = [sys.executable, *launcher, str(ROOT / "tests/training/toy.py"), str(folder), *settings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_learns_and_the_same_run_gives_the_same_bits(tmp_path):
    result = trainer(tmp_path / "a").fit()
    assert result["accuracy"] > 0.85 and result["reason"] == "all updates done"
    trainer(tmp_path / "b").fit()
    same_run(tmp_path / "a", tmp_path / "b")
    other = trainer(tmp_path / "c", seed=1)
    other.fit()
    assert figures(tmp_path / "a") != figures(tmp_path / "c")


def test_kill_9_and_resume_gives_the_same_bits(tmp_path):
    trainer(tmp_path / "whole").fit()
    process = script(tmp_path / "killed", "pause=0.05")
    deadline = time.time() + 60
    while not list((tmp_path / "killed" / "checkpoints").glob("step-*")) and time.time() < deadline:
        time.sleep(0.02)
    time.sleep(0.12)  # some updates beyond the checkpoint, whose log lines must go
    process.send_signal(signal.SIGKILL)
    process.communicate()
    steps = [e["step"] for e in figures(tmp_path / "killed")]
    assert steps and max(steps) < 42
    trainer(tmp_path / "killed").fit()
    same_run(tmp_path / "whole", tmp_path / "killed")


def test_a_signal_writes_a_checkpoint_and_stops(tmp_path):
    trainer(tmp_path / "whole").fit()
    process = script(tmp_path / "asked", "pause=0.05")
    while not (tmp_path / "asked" / "log.jsonl").exists():
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert figures(tmp_path / "asked")[-1]["reason"] == "signal SIGTERM"
    assert list((tmp_path / "asked" / "checkpoints").glob("step-*"))
    trainer(tmp_path / "asked").fit()
    same_run(tmp_path / "whole", tmp_path / "asked")


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_damaged_weights_are_never_loaded_silently(tmp_path, damage):
    path = tmp_path / "model.safetensors"
    checkpoint.save_weights(path, {"a": torch.arange(100.0), "scalar": torch.tensor(3)})
    assert torch.equal(checkpoint.load_weights(path)["a"], torch.arange(100.0))
    data = path.read_bytes()
    path.write_bytes(data[:-7] if damage == "truncate" else data[:-7] + bytes([data[-7] ^ 1]) + data[-6:])
    with pytest.raises(StructureError, match=r"model\.safetensors"):
        checkpoint.load_weights(path)


def test_minutes_go_on_after_a_resume(tmp_path):
    trainer(tmp_path, epochs=1).fit()
    for file in (tmp_path / "checkpoints").glob("*/progress.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "wall": 600.0, "cpu": 300.0}))
    trainer(tmp_path, epochs=2).fit()
    last = read_log(tmp_path / "log.jsonl")[-1]
    assert last["time"] >= 600 and last["cpu"] >= 300
    assert "minutes are spent" in trainer(tmp_path, epochs=3, max_minutes=10).fit()["reason"]


def test_the_log_goes_to_tensorboard_when_asked(tmp_path):
    pytest.importorskip("tensorboard")
    trainer(tmp_path, epochs=1, tensorboard=True).fit()
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "progress.json", "average.safetensors"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path, capsys, name, damage):
    trainer(tmp_path / "run", epochs=2).fit()
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1]
    file, data = newest / name, (newest / name).read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        middle = len(data) // 2
        rest = b"" if damage == "truncate" else bytes([data[middle] ^ 1]) + data[middle + 1 :]
        file.write_bytes(data[:middle] + rest)
    progress, _, _ = checkpoint.load_latest(newest.parent)
    assert progress["step"] == 10  # of 14 updates, evaluated every 5
    assert newest.name in capsys.readouterr().err
    trainer(tmp_path / "run", epochs=2).fit()  # and training goes on from there
    trainer(tmp_path / "whole", epochs=2).fit()
    same_run(tmp_path / "whole", tmp_path / "run")


def test_only_damaged_checkpoints_is_an_error(tmp_path):
    trainer(tmp_path / "run", epochs=1).fit()
    for folder in (tmp_path / "run" / "checkpoints").glob("step-*"):
        (folder / "state.pt").write_bytes(b"")
    with pytest.raises(StructureError, match="only damaged ones"):
        trainer(tmp_path / "run", epochs=1).fit()
    assert checkpoint.load_latest(tmp_path / "none") is None


def test_a_kill_while_saving_leaves_nothing_half_done(tmp_path):
    trainer(tmp_path / "run", epochs=1).fit()
    folder = tmp_path / "run" / "checkpoints"
    (folder / ".building-00000099").mkdir()
    (folder / ".building-00000099" / "model.safetensors").write_bytes(b"half")
    assert checkpoint.load_latest(folder)[0]["step"] == 7
    trainer(tmp_path / "run", epochs=2).fit()
    assert not list(folder.glob(".building-*")) and len(list(folder.glob("step-*"))) == checkpoint.KEPT


def test_two_processes_give_the_loss_of_one(tmp_path):
    code = (
        "import sys, tests.training.toy as t; from pathlib import Path; t.ToyModel.__init__.__defaults__ = (8, 0.0); "
        "t.ToySplit.batch = (lambda f: lambda self, rows, generator=None: f(self, rows))(t.ToySplit.batch); "
        "t.trainer(Path(sys.argv[1]), ema=0.0, epochs=3, batch_size=20).fit()"  # 101 rows: a last batch of one
    )
    (tmp_path / "plain.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for name, extra in (("one", []), ("two", launcher)):
        command = [sys.executable, *extra, str(tmp_path / "plain.py"), str(tmp_path / name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    runs = [[e for e in figures(tmp_path / n) if e["event"] == "update"] for n in ("one", "two")]
    for one, two in zip(*runs, strict=True):
        assert abs(one["loss"] - two["loss"]) < 1e-5 and abs(one["norm"] - two["norm"]) < 1e-5
    weights = [load_file(tmp_path / n / "model.safetensors") for n in ("one", "two")]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=0, atol=1e-5)


class Explodes(ToyModel):
    """Its second layer gives Inf from the third call on."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        h = self[0](x)
        if self.training and self.calls > 3:
            h = h * float("inf")
        return self[3](self[2](self[1](h) if self.calls <= 3 else h))


def test_a_bad_number_in_a_later_part_is_found_under_a_loss_scale_too(tmp_path):
    class OneBadRow(ToyModel):
        def forward(self, x):
            h = self[0](x)
            return self[3](self[1](torch.where(x.isnan().any(-1, keepdim=True), torch.nan, h)))

    run = trainer(tmp_path, epochs=1, accumulate=4, precision="fp16")
    run.model = OneBadRow()
    run.optimizer = torch.optim.AdamW(run.model.parameters())
    last = epoch_batches(run.split.sizes, run.settings, 0)[0][-1]
    run.split.x[last] = torch.nan
    with pytest.raises(Diverged, match="step 0 in 0"):  # module 0 is the first to see it, in the fourth part
        run.fit()


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_the_first_bad_number_is_reported_with_module_rows_and_seed(tmp_path, policy):
    run = trainer(tmp_path / policy, epochs=1, on_nan=policy, ema=0.0)
    run.model = Explodes()
    run.optimizer = torch.optim.AdamW(run.model.parameters())
    if policy == "stop":
        with pytest.raises(Diverged, match="step 3 in 2") as error:  # module 2: the dropout, first to see it
            run.fit()
        assert "seed 0" in str(error.value) and "rows [" in str(error.value)
    else:
        run.fit()
        assert all(bool(p.isfinite().all()) for p in run.model.parameters())
    bad = [e for e in figures(tmp_path / policy) if e["event"] == "not_finite"]
    assert bad[0]["step"] == 3 and 0 < len(bad[0]["rows"]) <= 16 and len(bad) == (1 if policy == "stop" else 4)


def test_of_equal_scores_the_latest_weights_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("structnet.training.loop.evaluate", lambda *_, **__: {"accuracy": 0.5})
    run = trainer(tmp_path, ema=0.0)
    run.fit()
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in run.model.state_dict().items())


def test_parts_of_a_batch_give_the_same_update(tmp_path):
    for name, parts in (("whole", 1), ("parts", 4)):
        run = trainer(tmp_path / name, epochs=1, accumulate=parts, ema=0.0)
        run.model[2].p = 0.0
        run.split.batch = (lambda split: lambda rows, generator=None: type(split).batch(split, rows))(run.split)
        run.fit()
    a, b = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "parts"))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-5)


def test_auxiliary_losses_are_added_and_logged(tmp_path):
    class Extra(ToyModel):
        def auxiliary(self, output):
            return {"pull": 1e3 * (self[0].weight ** 2).sum()}

    run = trainer(tmp_path / "extra")
    run.model = Extra()
    run.optimizer = torch.optim.AdamW(run.model.parameters(), 0.05)
    before = run.model[0].weight.norm()
    run.fit()
    assert run.model[0].weight.norm() < 0.2 * before
    assert all("pull" in e for e in figures(tmp_path / "extra") if e["event"] == "update")


@pytest.mark.parametrize(
    "changes, reason",
    [({"patience": 2, "lr": 1e-9, "ema": 0.0}, "no gain in 2"), ({"max_minutes": 1e-9}, "the minutes are spent")],
)
def test_reasons_to_stop(tmp_path, changes, reason):
    assert reason in trainer(tmp_path, **changes).fit()["reason"]


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"schedule": "plateau"}, {"schedule": "constant"}])
def test_other_settings_train_as_well(tmp_path, changes):
    assert trainer(tmp_path, **changes).fit()["accuracy"] > 0.8


def test_a_number_of_updates_instead_of_epochs(tmp_path):
    trainer(tmp_path, steps=9).fit()
    assert figures(tmp_path)[-1]["step"] == 9


def test_plateau_halves_the_rate(tmp_path):
    run = trainer(tmp_path, schedule="plateau", plateau_patience=1, lr=1e-9, ema=0.0)
    run.fit()
    rates = [e["lr"] for e in figures(tmp_path) if e["event"] == "update"]
    assert rates[-1] < rates[0]


@pytest.mark.parametrize("changes, words", [({"schedule": "cosin"}, "cosine, plateau"), ({"batch_size": 0}, ">= 1")])
def test_bad_settings_say_so(changes, words):
    with pytest.raises(StructureError) as error:
        TrainSettings(**changes)
    assert words in str(error.value)
    assert isinstance(Toy().split("train").batch(torch.tensor([0])).inputs[0], torch.Tensor)
    assert isinstance(ToyModel(), nn.Module) and json.dumps(SETTINGS)
