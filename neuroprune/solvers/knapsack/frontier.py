"""One step of the dynamic programme: all states times the options of a class, merged, compared and bounded."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def extend(
    cost,
    value,
    count,
    add_cost,
    add_value,
    add_count,
    rest_cost,
    rest_value,
    budget,
    best,
    slack,
    fixed,
    per_cost,
    per_item,
):  # pragma: no cover
    """Extend every state by every option, and keep what is neither dominated nor hopeless.

    Parameters
    ----------
    cost, value, count : array, shape (n_states,)
        Of the states, by rising cost and value.
    add_cost, add_value, add_count : array, shape (n_options,)
    rest_cost, rest_value : int64 array
        Envelope of the relaxation of the classes that are still undecided.
    budget, best : int
        Left for the states and the rest, and the value to beat.
    slack : float
        A state is hopeless if its bound is below ``best + slack``.
    fixed, per_cost, per_item : float
        A second bound of a state: ``fixed + value - per_cost * cost - per_item * count``.

    Returns
    -------
    parent, option : int32 array
        State and option that each new state comes from.
    cost, value, count : array
        Of the new states.
    found : (value, parent, option, step) of the best choice met
        Of `step` steps along the envelope; parent -1 if none beats `best`.
    top : float
        The highest bound among the new states.
    """
    n, m = cost.size, add_cost.size
    parent, option = np.empty(n * m, np.int32), np.empty(n * m, np.int32)
    new_cost, new_value, new_count = np.empty(n * m, np.int64), np.empty(n * m, np.int64), np.empty(n * m, np.int32)
    head = np.zeros(m, np.int64)
    step = rest_cost.size - 1
    kept = 0
    found_parent, found_option, found_step = -1, -1, -1
    tops = np.empty(n * m)
    while True:
        # The cheapest of what is left, and of equally cheap ones the most valuable.
        j = -1
        c, v = np.int64(0), np.int64(0)
        for o in range(m):
            if head[o] < n:
                c_o, v_o = cost[head[o]] + add_cost[o], value[head[o]] + add_value[o]
                if j < 0 or c_o < c or (c_o == c and v_o > v):
                    j, c, v = o, c_o, v_o
        if j < 0:
            break
        s = head[j]
        head[j] += 1
        left = budget - c
        while step >= 0 and rest_cost[step] > left:
            step -= 1
        if step < 0:
            break
        if kept > 0 and v <= new_value[kept - 1]:
            continue
        whole = v + rest_value[step]
        if whole > best:
            best = whole
            found_parent, found_option, found_step = s, j, step
        bound = float(whole)
        if step < rest_cost.size - 1:
            bound += (
                float(left - rest_cost[step])
                * float(rest_value[step + 1] - rest_value[step])
                / float(rest_cost[step + 1] - rest_cost[step])
            )
        k = count[s] + add_count[j]
        bound = min(bound, fixed + float(v) - per_cost * float(c) - per_item * float(k))
        if bound < best + slack:
            continue
        parent[kept], option[kept] = s, j
        new_cost[kept], new_value[kept], new_count[kept] = c, v, k
        tops[kept] = bound
        kept += 1
    top = -np.inf
    for s in range(kept):
        top = max(top, tops[s])
    return (
        parent[:kept].copy(), option[:kept].copy(), new_cost[:kept].copy(), new_value[:kept].copy(),
        new_count[:kept].copy(), (best, found_parent, found_option, found_step), top,
    )  # fmt: skip
