"""What auditors that are language models have in common: `loop` plays, `kit_tools` are what it calls, `hand_in` takes.

Whoever plays a game brings its words, its own tools and what reads its answer; see `investigator`, `red_teamer` and
`eval_builder`.
"""
