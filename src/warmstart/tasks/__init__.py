"""What a target is and how it is learnt, answered and scored: a folder a task. Tasks do not know each other; nothing below knows one."""
