"""How rare a value of a feature is, by a histogram of those before it.

State of one feature: the part of `H` that begins at `at`, cells at the places named here.
"""

from __future__ import annotations

from math import log2, log10

from analytics.insights.cells import Cells, summed

# Counts by quarter octave around its first value, and the exponential tail of the largest
TOTAL, CUT, BEYOND, EXCESS, ANCHOR, NEXT, BINS = range(7)
PER_OCTAVE = 4
SPAN = 192
HISTOGRAM = BINS + SPAN
MEMORY = 32768  # values after which the old ones count half
RAREST = 30.0


def rarity(H: Cells, at: int, value: float, most: float) -> float:
    """-log10 of how often a feature was at least this large, then counted in, as no rarer than `most`.

    Above its upper 2 % an exponential tail speaks for what was never seen: not at its likeliest rate, but over all
    rates that the few seen allow (the predictive distribution, a Lomax), so that a short past claims little.
    """
    total = H[at + TOTAL]
    bin_ = 0
    if value > 0:
        octave = log2(value) * PER_OCTAVE
        if H[at + ANCHOR] == 0:
            H[at + ANCHOR] = octave + 1e-9
        place = octave - H[at + ANCHOR] + SPAN / 2
        bin_ = int(place) if 1 <= place < SPAN else SPAN - 1 if place >= SPAN else 1
    if total >= H[at + NEXT]:
        seek_tail(H, at)
    cut = int(H[at + CUT])
    told = 0.0
    if total >= 20:
        beyond = H[at + BEYOND]
        if bin_ > cut:
            told = log10(total / beyond) + beyond * log10(1 + (bin_ - cut) / H[at + EXCESS])
            if told > most:
                bin_ = min(
                    bin_, cut + int((10 ** (max(most - log10(total / beyond), 0.0) / beyond) - 1) * H[at + EXCESS])
                )
        else:
            first = at + BINS
            if 2 * bin_ < cut:
                least = total - summed(H, first, first + bin_)
            else:
                least = H[at + BEYOND] + summed(H, first + bin_, first + cut)
            told = -log10((least - 0.5 * H[first + bin_] + 0.01) / total)
    H[at + BINS + bin_] += 1
    H[at + TOTAL] += 1
    if bin_ >= cut:
        H[at + BEYOND] += 1
        H[at + EXCESS] += bin_ - cut + 0.5
    return told if told < RAREST else RAREST


def seek_tail(H: Cells, at: int) -> None:
    """Move the bin above which the largest 2 % lie, and how far they reach; forget half once memory is full."""
    if H[at + TOTAL] >= MEMORY:
        for i in range(at + BINS, at + HISTOGRAM):
            H[i] *= 0.5
        H[at + TOTAL] *= 0.5
        H[at + BEYOND] *= 0.5
        H[at + EXCESS] *= 0.5
    first = at + BINS
    cut = int(H[at + CUT])
    beyond = H[at + BEYOND]
    excess = H[at + EXCESS]
    wanted = max(0.02 * H[at + TOTAL], 5.0)
    while beyond - H[first + cut] >= wanted:
        beyond -= H[first + cut]
        excess -= beyond + 0.5 * H[first + cut]
        cut += 1
    while cut > 0 and beyond < wanted:
        cut -= 1
        excess += beyond + 0.5 * H[first + cut]
        beyond += H[first + cut]
    H[at + CUT] = cut
    H[at + BEYOND] = beyond
    H[at + EXCESS] = excess
    H[at + NEXT] = min(H[at + TOTAL] * 1.05 + 1, MEMORY)
