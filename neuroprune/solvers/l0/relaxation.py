"""Kernels of the perspective relaxation: what a node of the search tree is worth at best.

With a diagonal D such that A - D is positive semidefinite, the objective is at least

    1/2 (1 - 2 c.w + w.(A - D).w) + sum_j h_j(w_j),

where ``h_j(w) = D_j w^2 / 2 + penalty`` for a column that is in, and the convex envelope of that and h(0) = 0 for a
free one: ``sqrt(2 penalty D_j) |w|`` up to ``|w| = sqrt(2 penalty / D_j)``, and beyond the same as for one that is in.
This is convex. Any w gives a lower bound on its minimum: linearising the quadratic there, with ``u = c - (A - D) w``,

    1/2 - 1/2 w.(A - D).w - sum_in (u_j^2 / 2 D_j - penalty) - sum_free max(0, u_j^2 / 2 D_j - penalty).

Under a budget the penalty is a multiplier, and for given w the best one is explicit: the sum over free columns becomes
that of the largest ``u_j^2 / 2 D_j``, as many as may still enter.

Arrays: ``status`` (p,) is 1 in, 0 free, -1 out; ``w`` (p,) the weights; ``v = c - A w``; ``root`` (p,) is sqrt(D).
References: Günlük & Linderoth 2010; Dong, Chen & Linderoth 2015; Hazimeh, Mazumder & Saab 2022; Guyard et al. 2024.
"""

import numpy as np
from numba import njit

IN, FREE, OUT = 1, 0, -1
EPSILON = 2.0**-52
LARGEST_SYSTEM = 250
"""Non-zero weights up to which they are solved for at once: beyond, sweeps are faster."""
JITTER = 1e-13
"""What keeps a singular system (D is chosen so that A - D is just singular) from failing."""


@njit(cache=True, nogil=True)
def residual(A, c, w):  # pragma: no cover
    """Return c - A w."""
    v = c.copy()
    for j in range(w.size):
        if w[j] != 0.0:
            v -= w[j] * A[j]
    return v


@njit(cache=True, nogil=True)
def sweep(A, root, theta, status, w, v):  # pragma: no cover
    """Minimise over one coordinate after the other, in place; theta is sqrt(2 penalty)."""
    for j in range(w.size):
        if status[j] == OUT:
            continue
        old, d = w[j], root[j]
        if status[j] == FREE and old == 0.0 and abs(v[j]) <= theta * d:
            continue
        rho = v[j] + old
        size = abs(rho)
        if status[j] == IN or size * d >= theta:
            new = rho
        elif size <= theta * d:
            new = 0.0
        else:
            new = np.sign(rho) * (size - theta * d) / (1.0 - d * d)
        if new != old:
            v -= (new - old) * A[j]
            w[j] = new


@njit(cache=True, nogil=True)
def primal(c, root, theta, status, w, v):  # pragma: no cover
    """Return the relaxed objective at w."""
    total = 0.5
    for j in range(w.size):
        if status[j] == IN:
            total += 0.5 * theta * theta
        x = w[j]
        if x != 0.0:
            total -= 0.5 * x * (c[j] + v[j])
            if status[j] == FREE:
                scaled = abs(x) * root[j]
                total += 0.5 * theta * theta if scaled >= theta else theta * scaled - 0.5 * scaled * scaled
    return total


@njit(cache=True, nogil=True)
def cholesky_solve(M, B):  # pragma: no cover
    """Solve M X = B in place for a positive definite M, which is overwritten; return whether it was."""
    n = M.shape[0]
    for j in range(n):
        pivot = M[j, j]
        for k in range(j):
            pivot -= M[j, k] * M[j, k]
        if pivot <= 1e-14:
            return False
        pivot = np.sqrt(pivot)
        M[j, j] = pivot
        for i in range(j + 1, n):
            total = M[i, j]
            for k in range(j):
                total -= M[i, k] * M[j, k]
            M[i, j] = total / pivot
    for column in range(B.shape[0]):
        x = B[column]
        for i in range(n):
            total = x[i]
            for k in range(i):
                total -= M[i, k] * x[k]
            x[i] = total / M[i, i]
        for i in range(n - 1, -1, -1):
            total = x[i]
            for k in range(i + 1, n):
                total -= M[k, i] * x[k]
            x[i] = total / M[i, i]
    return True


@njit(cache=True, nogil=True)
def newton(A, c, root, theta, slots, status, w, v):  # pragma: no cover
    """Solve for all non-zero weights at once, in place, if that lowers the relaxed objective.

    Returns
    -------
    proposal : float
        The theta for which the same pieces of the objective would use as many free columns as there are `slots`;
        0 where that cannot be told.
    """
    p = w.size
    active = np.empty(p, np.int64)
    n = 0
    for j in range(p):
        if w[j] != 0.0 or status[j] == IN:
            active[n] = j
            n += 1
    if n == 0 or n > LARGEST_SYSTEM:
        return 0.0
    M = np.empty((n, n))
    B = np.zeros((2, n))
    slope = np.zeros(n)
    full = 0
    for a in range(n):
        j = active[a]
        for b in range(a + 1):
            M[a, b] = A[j, active[b]]
        B[0, a] = c[j]
        if status[j] == FREE:
            if abs(w[j]) * root[j] < theta:
                M[a, a] -= root[j] * root[j] - JITTER
                slope[a] = root[j] * np.sign(w[j])
                B[1, a] = slope[a]
            else:
                full += 1
    if not cholesky_solve(M, B):
        return 0.0
    step = np.empty(n)
    length = 1.0
    for a in range(n):
        j = active[a]
        step[a] = B[0, a] - theta * B[1, a] - w[j]
        if status[j] == FREE and w[j] * (w[j] + step[a]) < 0.0:
            length = min(length, -w[j] / step[a])
    before = primal(c, root, theta, status, w, v)
    trial, trial_v = w.copy(), v.copy()
    # The whole step with weights stopped at zero, else as far as signs hold.
    for share in (1.0, length):
        trial[:], trial_v[:] = w, v
        for a in range(n):
            j = active[a]
            x = w[j] + share * step[a]
            if status[j] == FREE and w[j] * x < 0.0:
                x = 0.0
            if x != w[j]:
                trial[j] = x
                trial_v -= (x - w[j]) * A[j]
        if primal(c, root, theta, status, trial, trial_v) <= before:
            w[:], v[:] = trial, trial_v
            break
        if length == 1.0:
            break
    top, bottom = 0.0, float(slots - full)
    for a in range(n):
        top += slope[a] * B[0, a]
        bottom += slope[a] * B[1, a]
    return top / bottom if bottom > 0.0 and top > 0.0 else 0.0


@njit(cache=True, nogil=True)
def relaxed_count(root, theta, status, w):  # pragma: no cover
    """Return how many free columns the relaxation uses."""
    total = 0.0
    for j in range(w.size):
        if status[j] == FREE and w[j] != 0.0:
            total += min(1.0, abs(w[j]) * root[j] / theta)
    return total


@njit(cache=True, nogil=True)
def bound(c, root, penalty, slots, status, w, v, worth):  # pragma: no cover
    """Return the lower bound that w gives, rounded down, and the penalty (multiplier) it is for.

    `worth` is filled with ``u_j^2 / 2 D_j`` of each column that is free.
    """
    p = w.size
    total, length, reach, widest, free, inside = 0.5, 0.0, 0.0, 0.0, 0, 0
    for j in range(p):
        if status[j] == OUT:
            continue
        d = root[j] * root[j]
        u = v[j] + d * w[j]
        length += abs(w[j])
        total -= 0.5 * w[j] * (c[j] - v[j] - d * w[j])
        half = 0.5 * u * u / d
        if status[j] == IN:
            inside += 1
            total += penalty - half
            reach += abs(u) / d
            worth[j] = 0.0
        else:
            worth[j] = half
            widest = max(widest, abs(u) / d)
            free += 1
    least, next_best = penalty, penalty
    if slots >= 0:
        ranked = np.empty(free)
        x = 0
        for j in range(p):
            if status[j] == FREE:
                ranked[x] = worth[j]
                x += 1
        ranked.sort()
        total -= penalty * inside
        for x in range(max(0, free - slots), free):
            total -= ranked[x]
        least = ranked[free - slots] if 0 < slots <= free else (np.inf if slots == 0 else 0.0)
        next_best = ranked[free - slots - 1] if slots < free else 0.0
    for j in range(p):
        if status[j] == FREE and worth[j] >= least:
            if slots < 0:
                total -= worth[j] - penalty
            reach += np.sqrt(2.0 * worth[j]) / root[j]
    reach += 2.0 * widest  # for the two columns whose worth decides on another
    margin = EPSILON * (p + 8) * ((1.0 + length) * (1.0 + reach) + length * length)
    return total - margin, least, next_best


@njit(cache=True, nogil=True)
def rule_out(A, j, status, w, v):  # pragma: no cover
    """Take a free column out, in place."""
    status[j] = OUT
    if w[j] != 0.0:
        v += w[j] * A[j]
        w[j] = 0.0


@njit(cache=True, nogil=True)
def solve_node(A, c, root, penalty, limit, cutoff, rounds, status, w):  # pragma: no cover
    """Bound a node, and fix columns that no better solution can do without, or can use; status and w in place.

    Parameters
    ----------
    penalty : float
        Price of a column; under a budget the multiplier to start from.
    limit : int
        Columns that may be in; negative where there is a price instead.
    cutoff : float
        What is not below this does not matter.

    Returns
    -------
    bound : float
        The node's solutions are worth no less; infinite if none can be below the cutoff.
    multiplier : float
        The penalty that the bound is for.
    branch : int
        The column whose relaxed use is the least decided, -1 if no column is free.
    """
    p = w.size
    v = residual(A, c, w)
    worth = np.zeros(p)
    theta = np.sqrt(2.0 * penalty)
    best, multiplier = -np.inf, penalty
    lowest, highest = 0.0, np.inf
    for _ in range(rounds):
        slots = -1
        if limit >= 0:
            inside = 0
            for j in range(p):
                inside += status[j] == IN
            slots = limit - inside
            if slots <= 0:
                for j in range(p):
                    if status[j] == FREE:
                        rule_out(A, j, status, w, v)
        sweep(A, root, theta, status, w, v)
        proposal = newton(A, c, root, theta, slots, status, w, v)
        v = residual(A, c, w)  # afresh: what rounding adds to it in many updates is more than the bound allows for
        low, least, next_best = bound(c, root, 0.5 * theta * theta, slots, status, w, v, worth)
        if low > best:
            best, multiplier = low, 0.5 * theta * theta
        if best >= cutoff:
            return np.inf, multiplier, -1
        any_free = False
        for j in range(p):
            if status[j] != FREE:
                continue
            if worth[j] < least and low + least - worth[j] >= cutoff:
                rule_out(A, j, status, w, v)
            elif worth[j] >= least and low + worth[j] - next_best >= cutoff:
                status[j] = IN
            else:
                any_free = True
        upper = primal(c, root, theta, status, w, v)
        if limit >= 0:
            upper -= 0.5 * theta * theta * limit
        if not any_free:
            break
        if upper - low < 0.02 * (cutoff - best):
            if slots < 0:
                break
            # Relaxed well enough: now the multiplier, so that as many columns are used as may be.
            count = relaxed_count(root, theta, status, w)
            if abs(count - slots) < 0.05:
                break
            if count > slots:
                lowest = theta
            else:
                highest = theta
            if lowest > 0.0 and highest < np.inf:
                middle = np.sqrt(lowest * highest)
            else:
                middle = 1.5 * theta if count > slots else theta / 1.5
            theta = proposal if lowest < proposal < highest and 0.4 * theta < proposal < 2.5 * theta else middle
    chosen, most = -1, -1.0
    for j in range(p):
        if status[j] == FREE:
            z = min(1.0, abs(w[j]) * root[j] / theta) if theta > 0.0 else 1.0
            undecided = min(z, 1.0 - z)
            if undecided > most:
                chosen, most = j, undecided
    return best, multiplier, chosen
