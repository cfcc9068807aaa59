"""Grades the games besides `investigate`: what an answer says is played again, on target and control."""
