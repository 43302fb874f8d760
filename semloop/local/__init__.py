"""What the library knows of the local stack: whose it is, and whether it runs.

`identity` says which lake a stack was started for, `lock` whether a supervisor runs,
`marks` which processes belong to a lake, `stack_file` where the broker is. The stack
itself is in `semloop/command/stack`.
"""
