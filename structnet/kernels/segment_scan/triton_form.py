# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# (Triton annotates compile-time arguments with a type that no plain value has, and hides launch options)
"""The Triton form: programs walk chunks of rows of equal size (`kernels/chunks.py`) in tiles, a tile being loaded at
once and scanned inside; the state stays in registers between tiles, and marks on first rows keep segments apart.

Chunks of rows rather than segments: a giant segment and a hundred thousand tiny ones take the same time. A segment that
is cut is read twice: the sum of what it hands over each boundary comes first, then one program per cut segment turns
the sums into states at the boundaries. The rest is read once. No atomics: the same bits every time. A single pass that
looks back at chunks in flight would read cut segments once too, but sum in an order that changes from run to run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from structnet.kernels import chunks
from structnet.kernels.chunks import Chunks, Sizes

WIDE = {torch.float32: tl.float32, torch.float64: tl.float64}


@triton.jit
def _affine(gate, x, fresh, gate_after, x_after, fresh_after):
    """One map after the other; a fresh one forgets what was before, be it NaN or infinite."""
    gate = tl.where(fresh_after != 0, gate_after, gate * gate_after)
    x = tl.where(fresh_after != 0, x_after, gate_after * x + x_after)
    return gate, x, fresh | fresh_after


@triton.jit
def _scan(gate, x, fresh, state):
    """States of a tile's rows, the one behind its last row, and the product of its gates."""
    product, h, fresh = tl.associative_scan((gate, x, fresh), 0, _affine)
    h = tl.where(fresh != 0, h, product * state[None, :] + h)
    last = tl.arange(0, h.shape[0])[:, None] == h.shape[0] - 1
    return h, tl.sum(tl.where(last, h, 0.0), axis=0), tl.sum(tl.where(last, product, 0.0), axis=0)


@triton.jit
def _load_gate(at, mask, LOG: tl.constexpr, WIDE: tl.constexpr):
    """Gates, and 1 (nothing changes) outside the mask."""
    gate = tl.load(at, mask=mask, other=0.0 if LOG else 1.0).to(WIDE)
    return tl.exp(gate) if LOG else gate


@triton.jit
def _order(REVERSE: tl.constexpr, TILE: tl.constexpr):
    """Rows of a tile as a column, counted from its first in the order of the scan."""
    i = tl.arange(0, TILE)[:, None]
    return -i if REVERSE else i


@triton.jit
def _sums_kernel(gate, x, initial, ptr, bounds, cut, gates, sums, channels, width, ahead, GROUP: tl.constexpr,
                 HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr, LOG: tl.constexpr, WIDE: tl.constexpr,
                 TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """What the segment hands over a boundary that cuts it: product of the gates and states from zero of the chunk
    before (in the order of the scan). A row's gate lies `ahead` rows further on."""
    boundary = tl.program_id(0).to(tl.int64)
    segment = tl.load(cut + boundary).to(tl.int64)
    if segment >= 0:
        channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        chunk = boundary if REVERSE else boundary - 1
        begin, end = tl.load(ptr + segment), tl.load(ptr + segment + 1)
        first, last = tl.maximum(tl.load(bounds + chunk), begin), tl.load(bounds + chunk + 1)
        head = end - 1 if REVERSE else begin
        offset = _order(REVERSE, TILE)
        at, gate_at = offset * channels + channel[None, :], offset * width + channel[None, :] // GROUP
        product = tl.full([BLOCK], 1.0, WIDE)
        state = tl.zeros([BLOCK], WIDE)
        start = tl.zeros([BLOCK], WIDE)
        if HAS_INITIAL:
            start = tl.load(initial + segment * channels + channel, mask=channel < channels, other=0.0).to(WIDE)
        for done in range(0, last - first, TILE):
            row = last - 1 - done if REVERSE else first + done
            there = (tl.arange(0, TILE) < last - first - done)[:, None] & (channel < channels)[None, :]
            at_head = row + offset == head
            known = there if HAS_INITIAL else there & ~at_head
            a = _load_gate(gate + (row + ahead) * width + gate_at, known, LOG, WIDE)
            b = tl.load(x + row * channels + at, mask=there, other=0.0).to(WIDE)
            if HAS_INITIAL:
                b = tl.where(at_head, b + a * start[None, :], b)
            _, state, whole = _scan(a, b, tl.zeros([TILE, BLOCK], tl.int32), state)
            product = product * whole
        tl.store(gates + boundary * channels + channel, product, mask=channel < channels)
        tl.store(sums + boundary * channels + channel, state, mask=channel < channels)


@triton.jit
def _carry_kernel(gates, sums, ptr, cut, channels, length, REVERSE: tl.constexpr, TILE: tl.constexpr,
                  BLOCK: tl.constexpr):  # fmt: skip
    """Turns the sums at the boundaries of one segment into its states there."""
    boundary = tl.program_id(0).to(tl.int64)
    segment = tl.load(cut + boundary).to(tl.int64)
    before = tl.load(cut + (boundary + 1 if REVERSE else boundary - 1), mask=segment >= 0, other=-1)
    if (segment >= 0) & (before != segment):
        channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        at = _order(REVERSE, TILE) * channels + channel[None, :]
        if REVERSE:
            count = boundary - tl.load(ptr + segment) // length
        else:
            count = tl.load(ptr + segment + 1) // length - boundary
        state = tl.zeros([BLOCK], sums.dtype.element_ty)
        for done in range(0, count, TILE):
            there = (tl.arange(0, TILE) < count - done)[:, None] & (channel < channels)[None, :]
            here = at + (boundary - done if REVERSE else boundary + done) * channels
            a = tl.load(gates + here, mask=there, other=1.0)
            b = tl.load(sums + here, mask=there, other=0.0)
            h, state, _ = _scan(a, b, tl.zeros([TILE, BLOCK], tl.int32), state)
            tl.store(sums + here, h, mask=there)


@triton.jit
def _forward_kernel(gate, x, initial, bounds, cut, head, carry, h, channels, width, GROUP: tl.constexpr,
                    HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr, LOG: tl.constexpr, WIDE: tl.constexpr,
                    TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    chunk = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    first, last = tl.load(bounds + chunk), tl.load(bounds + chunk + 1)
    entry = chunk + 1 if REVERSE else chunk
    known = tl.where(tl.load(cut + entry) < 0, 0, channels)
    state = tl.load(carry + entry * channels + channel, mask=channel < known, other=0.0)
    offset = _order(REVERSE, TILE)
    at, gate_at = offset * channels + channel[None, :], offset * width + channel[None, :] // GROUP
    for done in range(0, last - first, TILE):
        row = last - 1 - done if REVERSE else first + done
        rows = (tl.arange(0, TILE) < last - first - done)[:, None]
        there = rows & (channel < channels)[None, :]
        owner = tl.load(head + row + offset, mask=rows, other=-1).to(tl.int64)
        a = _load_gate(gate + row * width + gate_at, there, LOG, WIDE)
        b = tl.load(x + row * channels + at, mask=there, other=0.0).to(WIDE)
        if HAS_INITIAL:
            at_start = there & (owner >= 0)
            start = tl.load(initial + owner * channels + channel[None, :], mask=at_start, other=0.0).to(WIDE)
            b = tl.where(at_start, b + a * start, b)
        fresh = tl.broadcast_to((owner >= 0).to(tl.int32), [TILE, BLOCK])
        states, state, _ = _scan(a, b, fresh, state)
        tl.store(h + row * channels + at, states, mask=there)


@triton.jit
def _backward_kernel(grad, gate, h, initial, bounds, cut, head, carry, dgate, dx, dinitial, rows, channels, width,
                     GROUP: tl.constexpr, SHARE: tl.constexpr, HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr,
                     LOG: tl.constexpr, WIDE: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """From the end of the scan to its start (REVERSE is the direction of the scan that is differentiated). SHARE
    channels have a gate, whose gradient is summed here; or one, and the products are stored."""
    chunk = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < channels)[None, :]
    first, last = tl.load(bounds + chunk), tl.load(bounds + chunk + 1)
    entry = chunk if REVERSE else chunk + 1
    known = tl.where(tl.load(cut + entry) < 0, 0, channels)
    state = tl.load(carry + entry * channels + channel, mask=channel < known, other=0.0)
    offset, step = _order(not REVERSE, TILE), -1 if REVERSE else 1
    at, gate_at = offset * channels + channel[None, :], offset * width + channel[None, :] // GROUP
    for done in range(0, last - first, TILE):
        row = first + done if REVERSE else last - 1 - done
        here, gate_here = row * channels + at, gate + row * width + gate_at
        in_rows = (tl.arange(0, TILE) < last - first - done)[:, None]
        there = in_rows & inside
        owner = tl.load(head + row + offset, mask=in_rows, other=-1).to(tl.int64)
        after = row + offset + step
        end = tl.load(head + after, mask=in_rows & (after >= 0) & (after < rows), other=0) >= 0  # last of its segment
        a = _load_gate(gate_here + step * width, there & ~end, LOG, WIDE)
        b = tl.load(grad + here, mask=there, other=0.0).to(WIDE)
        total, state, _ = _scan(a, b, tl.broadcast_to((in_rows & end).to(tl.int32), [TILE, BLOCK]), state)
        tl.store(dx + here, total, mask=there)
        at_start = there & (owner >= 0)
        before = tl.load(h + here - step * channels, mask=there & (owner < 0), other=0.0).to(WIDE)
        if HAS_INITIAL:
            place = owner * channels + channel[None, :]
            first_gate = _load_gate(gate_here, at_start, LOG, WIDE)
            tl.store(dinitial + place, first_gate * total, mask=at_start)
            before = tl.where(at_start, tl.load(initial + place, mask=at_start, other=0.0).to(WIDE), before)
        product = total * before
        if LOG:
            product = product * _load_gate(gate_here, there, LOG, WIDE)
        if not HAS_INITIAL:  # the gate acted on nothing
            product = tl.where(owner >= 0, 0.0, product)
        if SHARE > 1:
            product = tl.sum(tl.reshape(product, [TILE, BLOCK // SHARE, SHARE]), axis=2)
            shared = tl.program_id(1) * (BLOCK // SHARE) + tl.arange(0, BLOCK // SHARE)[None, :]
            tl.store(dgate + row * width + offset * width + shared, product, mask=in_rows & (shared < width))
        else:
            tl.store(dgate + here, product, mask=there)


def _carries(
    gate: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None, cuts: Chunks, reverse: bool, log_gate: bool,
    ahead: int, size: Sizes,
) -> Tensor:  # fmt: skip
    """States at the boundaries that cut a segment, `[C + 1, D]`; other rows are left as they are."""
    channels = x.shape[1]
    wide = torch.promote_types(x.dtype, torch.float32)
    gates, sums = (x.new_empty(cuts.count + 1, channels, dtype=wide) for _ in range(2))
    if cuts.count > 1:
        _sums_kernel[cuts.count, triton.cdiv(channels, size.block)](
            gate, x, x if initial is None else initial, ptr, cuts.bounds, cuts.cut, gates, sums, channels,
            gate.shape[1], ahead, channels // gate.shape[1], initial is not None, reverse, log_gate, WIDE[wide],
            size.tile, size.block, num_warps=1,
        )  # fmt: skip
        block, hop = min(16, size.block), min(size.hop, triton.next_power_of_2(cuts.count))
        _carry_kernel[cuts.count, triton.cdiv(channels, block)](
            gates, sums, ptr, cuts.cut, channels, size.length, reverse, hop, block
        )
    return sums


def forward(
    gate: Tensor, x: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool, log_gate: bool = False
) -> Tensor:
    h = torch.empty_like(x)
    if not h.numel():
        return h
    rows, channels = x.shape
    size = chunks.sizes(rows, channels)
    cuts = chunks.plan(ptr, rows, size.length, reverse)
    carry = _carries(gate, x, ptr, initial, cuts, reverse, log_gate, 0, size)
    _forward_kernel[cuts.count, triton.cdiv(channels, size.block)](
        gate, x, x if initial is None else initial, *cuts, carry, h, channels, gate.shape[1], channels // gate.shape[1],
        initial is not None, reverse, log_gate, WIDE[carry.dtype], size.tile, size.block, num_warps=1,
    )  # fmt: skip
    return h


def backward(
    grad: Tensor, gate: Tensor, h: Tensor, ptr: Tensor, initial: Tensor | None, reverse: bool, log_gate: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    (rows, channels), width = h.shape, gate.shape[1]
    dinitial = h.new_empty(0, channels) if initial is None else torch.zeros_like(initial)
    dx, dgate = torch.empty_like(h), torch.empty_like(gate)
    if not h.numel():
        return dgate, dx, dinitial
    size = chunks.sizes(rows, channels)
    cuts = chunks.plan(ptr, rows, size.length, reverse)
    carry = _carries(gate, grad, ptr, None, cuts, not reverse, log_gate, -1 if reverse else 1, size)
    group = channels // width
    share = group if size.block % group == 0 else 1  # else a gate's channels may lie in several programs
    product = dgate if share == group else torch.empty_like(h)
    _backward_kernel[cuts.count, triton.cdiv(channels, size.block)](
        grad, gate, h, h if initial is None else initial, *cuts, carry, product, dx, dinitial, rows, channels, width,
        group, share, initial is not None, reverse, log_gate, WIDE[carry.dtype], size.tile, size.block, num_warps=1,
    )  # fmt: skip
    if product is not dgate:
        dgate = product.unflatten(1, (width, group)).sum(-1)
    return dgate, dx, dinitial
