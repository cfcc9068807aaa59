"""The tier `judge`: language models read findings against a truth's text, by a rubric, one finding a call."""
