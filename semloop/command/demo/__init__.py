"""What `semloop demo` shows; begin with `agents`, written as your own would be.

`agents` does the work, `crowd` lets several of them do it at once, `broken` sends what
is no event. `folder` is where all of it ends up, `stack` the broker and the flow beside
it, `audit` the proof that nothing was lost, `answers` what can then be asked.
"""
