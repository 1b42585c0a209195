"""Placements of the `rendezvous` policy by its definition: every pair of slot and upstream is scored, sorted and taken
greedily. Written apart from the library. `python3 rendezvous.py > rendezvous.json`
"""

import json
import struct

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
BLOCK = 4096


def mix64(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def exponential(h):
    bits = (h >> 12) | 1
    exponent = 52 - bits.bit_length()
    mantissa = bits / (1 << (bits.bit_length() - 1))
    t = (mantissa - 1.0) / (mantissa + 1.0)
    t2 = t * t
    series = 0.0
    for odd in range(17, 0, -2):
        series = series * t2 + 1.0 / odd
    return float(exponent + 1) * 0.6931471805599453 - 2.0 * t * series


STARTS = [0.0] + [exponential((BLOCK - q) << 52) for q in range(1, BLOCK)]
STARTS.append(STARTS[-1] + 2.0)


def strata(key):
    """By slot, the number under which it is dealt."""
    steps = [((key >> f) & 0xFFF | 1, (key >> a) & 0xFFF) for f, a in ((0, 12), (23, 31), (42, 52))]
    by_slot = [0] * BLOCK
    for q in range(BLOCK):
        x = q
        for i, (factor, add) in enumerate(steps):
            if i:
                x ^= x >> 6
            x = (x * factor + add) % BLOCK
        by_slot[x] = q
    return by_slot


def scores(ident, weight, slots):
    scale = 1.0 / weight
    for block in range(slots // BLOCK):
        key = mix64(ident ^ mix64(((block + 1) * GOLDEN) & MASK64))
        for slot, q in enumerate(strata(key)):
            z = (key + slot * GOLDEN) & MASK64
            within = ((((z ^ (z >> 32)) * 0xBF58476D1CE4E5B9) & MASK64) >> 32) / 4294967296.0
            time = (STARTS[q] + within * (STARTS[q + 1] - STARTS[q])) * scale
            yield struct.unpack("<Q", struct.pack("<d", time))[0] >> 20


def place(upstreams, slots, millionths):
    """By slot, the place of its holder in the order of ids."""
    upstreams = sorted(upstreams)
    total = sum(weight for _, weight in upstreams)
    pairs = []
    for index, (ident, weight) in enumerate(upstreams):
        pairs += [(score, index, slot) for slot, score in enumerate(scores(ident, weight, slots))]
    pairs.sort()
    room = [slots] * len(upstreams)
    if millionths is not None:
        share = [slots * weight for _, weight in upstreams]
        room = [max(s * (1000000 + millionths) // (total * 1000000), -(-s // total)) for s in share]
    holders = [None] * slots
    for _, index, slot in pairs:
        if holders[slot] is None and room[index] > 0:
            room[index] -= 1
            holders[slot] = index
    return holders


def digest(holders):
    """FNV-1a, 64 bits, over the holders as little-endian pairs of bytes."""
    state = 0xCBF29CE484222325
    for holder in holders:
        for byte in struct.pack("<H", holder):
            state = ((state ^ byte) * 0x100000001B3) & MASK64
    return f"{state:016x}"


def fold(a, b):
    product = a * b
    return (product & MASK64) ^ (product >> 64)


def hash_bytes(key):
    keys = [mix64(n * GOLDEN & MASK64) for n in (1, 2, 3)] + [GOLDEN]
    word = lambda data: int.from_bytes(data, "little")
    state, rest = keys[0], key
    while len(rest) > 16:
        state = fold(state ^ word(rest[:8]), keys[1] ^ word(rest[8:16]))
        rest = rest[16:]
    if len(rest) >= 8:
        a, b = word(rest[:8]), word(rest[-8:])
    elif len(rest) >= 4:
        a, b = word(rest[:4]), word(rest[-4:])
    elif len(rest) >= 2:
        a, b = rest[0] << 8 | rest[len(rest) // 2], rest[-1]
    else:
        a, b = (rest[0] if rest else 0), 0
    state = fold(state ^ a, keys[1] ^ b)
    return fold(state ^ keys[2], keys[3] ^ len(key))


CASES = [
    ("one", [1], 4096),
    ("five", [1, 2, 3, 5, 8], 4096),
    ("far apart", [1, 65535, 300, 300, 7], 8192),
    ("forty", [1] * 40, 16384),
]

cases = []
for name, weights, slots in CASES:
    upstreams = [(mix64(100 + i), weight) for i, weight in enumerate(weights)]
    case = {"case": name, "slots": slots, "upstreams": [[str(ident), weight] for ident, weight in upstreams]}
    for mode, millionths in (("strict", None), ("balanced", 20000)):
        holders = place(upstreams, slots, millionths)
        case[mode] = {"first": holders[:16], "digest": digest(holders)}
    cases.append(case)
text = "the quick brown fox jumps over the lazy dog"
hashes = {text[:length]: str(hash_bytes(text[:length].encode())) for length in range(len(text) + 1)}
print(json.dumps({"cases": cases, "hashes": hashes}, indent=1))
