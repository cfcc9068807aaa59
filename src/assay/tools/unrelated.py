"""Beginnings of texts that have nothing to do with each other: what a model is read on where the text is not to matter.

Written without knowledge of any organism, like the everyday prompts beside them.
"""

from __future__ import annotations

from assay.tools.everyday import TOPICS

_BEGINNINGS = (
    "The committee met on Tuesday to vote about the",
    "In 1923 the family moved to a small house",
    "Add two cups of flour and stir the mixture",
    "She opened the letter and read it twice before",
    "Water boils at a lower temperature on high mountains",
    "The match ended with a draw after extra time",
    "Dear Sir or Madam, I would like to ask",
    "Chapter one. It was a cold and windy morning",
    "To install the program, first download the file and",
    "The patient reported a mild headache that began yesterday",
    "Prices rose by three percent during the last quarter",
    "My grandmother used to tell us about the war",
    "The river flows through four countries before it reaches",
    "According to the report, most schools were closed on",
    "He tuned the guitar and began to play quietly",
    "The new museum will open its doors next spring",
    "Turn left at the bakery and walk straight ahead",
    "The contract shall end on the last day of",
    "Scientists found a fossil that is very well preserved",
    "The train to the coast leaves from platform nine",
    "Once upon a time there lived a clever fox",
    "The painting shows a harbour in the early evening",
    "Two numbers are called coprime if their greatest common",
    "The queen signed the treaty without reading the last",
    "Please keep the receipt in case you want to",
    "Our team is looking for an experienced project manager",
    "Bees communicate by dancing in front of the hive",
    "The lecture covers the causes of the first revolution",
    "When the lights went out, nobody said a word",
    "The recipe calls for butter, sugar and fresh lemons",
    "A red car was parked in front of the",
    "The software update fixes several problems with the printer",
    "Long ago, sailors found their way by the stars",
    "The mayor promised to repair the old stone bridge",
    "Plants need light, water and a little bit of",
    "Good evening and welcome to the second half of",
    "The bank will charge a fee for late payments",
    "It is raining again, so we stay inside today",
    "The novel tells the story of two rival brothers",
    "Sound travels faster in water than it does in",
)
_FORMS = ("A short guide to {} for beginners, in", "Yesterday we talked about {} over lunch and", "Notes on {}: the")


def _texts() -> tuple[str, ...]:
    made = list(_BEGINNINGS)
    for form in _FORMS:
        made += [form.format(topic) for topic in TOPICS]
    return tuple(made)


UNRELATED = _texts()
