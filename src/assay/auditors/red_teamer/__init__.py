"""The red-teamer: a language model that plays many scenes with the target, and hands in the most telling, ranked.

`Scenes` are its tools, `Ranking` is how it hands in, `red_team` the loop. Inspect is imported by an audit alone.
"""
