"""Slow re-statements, one set at a time, element after element, from the equations; used by the tests only."""

from __future__ import annotations

import torch

WIDTH = 6


def gru(x, h, w):
    gi, gh = w.weight_ih @ x + w.bias_ih, w.weight_hh @ h + w.bias_hh
    (ri, zi, ni), (rh, zh, nh) = gi.chunk(3), gh.chunk(3)
    r, z = torch.sigmoid(ri + rh), torch.sigmoid(zi + zh)
    return (1 - z) * torch.tanh(ni + r * nh) + z * h


def lstm(x, state, w):
    h, c = state
    i, f, g, o = (w.weight_ih @ x + w.bias_ih + w.weight_hh @ h + w.bias_hh).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def halve(op, values):
    while len(values) > 1:
        odd = values[len(values) // 2 * 2 :]
        values = [op(a, b) for a, b in zip(values[0::2], values[1::2])] + odd
    return values[0]


def lcm(m, rows):
    def op(a, b):
        return (gru(a, b, m.gru_cell) + gru(b, a, m.gru_cell)) / 2

    return halve(op, [torch.relu(m.lin(r)) for r in rows]) if rows else m.identity


def gru_last(m, rows):
    h = torch.zeros(m.out_channels, dtype=torch.float64)
    for x in rows:
        h = gru(x, h, m.cell)
    return h


def lstm_last(m, rows):
    h = c = torch.zeros(m.out_channels, dtype=torch.float64)
    for x in rows:
        h, c = lstm(x, (h, c), m.cell)
    return h


def affine(m, rows):
    h = torch.zeros(m.out_channels, dtype=torch.float64)
    for x in rows:
        gate, value = m.maps(x).chunk(2)
        a = torch.tanh(gate) if m.signed else torch.sigmoid(gate)
        h = a * h + (1 - abs(a)) * torch.tanh(value)
    return m.out(h)


def top_k(m, rows):
    out = []
    for place in range(m.k):
        for c in range(m.channels):
            column = sorted([r[c] for r in rows], key=torch.Tensor.item, reverse=m.largest)
            out.append(column[place] if place < len(column) else m.missing[place, c])
    return torch.stack(out)


def top_rows(m, rows):
    key, out, left = [m.sharpness * (m.key.weight[0] * r).sum() for r in rows], [], list(range(len(rows)))
    for place in range(m.k):
        if place >= len(rows):
            out.append(m.missing[place])
            continue
        total = sum(key[i].exp() for i in left)
        share = {i: key[i].exp() / total for i in left}
        mean = sum(p * rows[i].detach() for i, p in share.items())
        best = max(left, key=lambda i: (m.sharpness * m.key.weight[0] * rows[i]).sum().item())
        out.append(rows[best] + mean - mean.detach())
        left.remove(best)
        key = [key[i] + torch.log(1 - share[i]) if i in share else key[i] for i in range(len(rows))]
    return torch.cat(out)


def log_sum_exp(m, rows):
    if not rows:
        return m.empty
    t = m.log_temperature.exp()
    return sum(torch.exp(t * r) for r in rows).log() / t


def attention(m, rows):
    if not rows:
        return m.empty
    out = []
    for head in range(m.heads):
        weight = [m.score(r)[head].exp() for r in rows]
        value = [m.value(r).chunk(m.heads)[head] for r in rows]
        out.append(sum(w * v for w, v in zip(weight, value)) / sum(weight))
    return torch.cat(out)


def modular(m, rows):
    out = []
    for head in range(m.heads):
        total = torch.eye(m.modulus, dtype=torch.float64)[0]
        for r in rows:
            p = (m.sharpness * r[head * m.modulus : (head + 1) * m.modulus]).softmax(0)
            total = torch.stack(
                [sum(total[i] * p[(k - i) % m.modulus] for i in range(m.modulus)) for k in range(m.modulus)]
            )
        out.append(total)
    return torch.cat(out)


def phase(m, rows):
    out = torch.ones(m.heads, dtype=torch.complex128)
    for r in rows:
        out = out * torch.exp(2j * torch.pi * m.scale * r)
    return torch.cat([out.real, out.imag])


def finite(m, rows):
    table, states = m.table(), m.states

    def times(head):
        def op(p, q):
            total = 0
            for i in range(states):
                for j in range(states):
                    total = total + p[i] * q[j] * table[head, i, j]
            return total

        return op

    one = torch.eye(states, dtype=torch.float64)[0]
    parts = [[r[h * states : (h + 1) * states].softmax(0) for r in rows] for h in range(m.heads)]
    return torch.cat([halve(times(h), parts[h]) if rows else one for h in range(m.heads)])
