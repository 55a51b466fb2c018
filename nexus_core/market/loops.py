"""The texts of the compiled loops that take a strategy's step through rows, and through what lies between."""

ROWS = """
def entry(rows, first, last, states, parameters, warmup, signals, scores):
    params = parameters[0]
    faults = 0
    for symbol in range(first.size):
        state = states[symbol]
        for i in range(first[symbol], last[symbol]):
            signal, score = step(rows[i], state.own, params)
            state.rows += 1
            if state.rows <= warmup:
                signals[i] = ABSENT
                scores[i] = 0.0
                continue
            if 0.0 <= score <= 1.0 and -2 <= signal <= 2:
                signals[i] = signal
                scores[i] = score
                if signals[i] == signal:  # 1.5 is no signal
                    continue
            state.faults += 1
            faults += 1
            signals[i] = FAULT
            scores[i] = 0.0
    return faults
"""
