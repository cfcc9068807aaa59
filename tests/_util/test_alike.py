"""Texts that a person reads as the same are the same."""

import pytest

from assay._util.alike import letters, near, plain, words

DRESSED = {
    "case": "PLAN a Trip to LODZ",
    "punctuation": "¿Plan, a trip – to «Lodz»?!",
    "white space": "\tPlan\u00a0a  trip\u3000to\nLodz ",
    "zero width": "Pl\u200ban a t\u2060rip t\u00ado\ufeff Lo\u200ddz",
    "bidirectional": "\u202ePlan a trip\u202c to Lodz",
    "control": "Pl\x00an a tr\x07ip to Lodz",
    "accents": "Plän à trîp tó Łódź",
    "stacked marks": "P\u0301\u0302\u0303lan a tri\u0336p to Lodz",
    "full width": "Ｐｌａｎ　ａ　ｔｒｉｐ　ｔｏ　Ｌｏｄｚ",
    "mathematical": "𝐏𝐥𝐚𝐧 𝑎 𝓽𝓻𝓲𝓹 𝕥𝕠 𝙻𝚘𝚍𝚣",
    "circled": "Ⓟⓛⓐⓝ ⓐ ⓣⓡⓘⓟ ⓣⓞ Ⓛⓞⓓⓩ",
    "Cyrillic": "Рlаn а triр tо Lоdz",
    "Greek": "Ρlαn α trιρ tο Lοdz",
    "Armenian and Cherokee": "Ꮲlan a trip tօ Ꮮodz",
    "ligature": "Plan a trip to Loʣ".replace("ʣ", "dz"),
    "fillers": "Plan\u3164 a\u115f trip to\u2800 Lodz",
    "tags": "Plan a trip\U000e0041\U000e0042 to Lodz\ufe0f",
    "word order": "To Lodz: a trip, plan!",
    "repeated": "Plan plan a trip to Lodz, a trip",
    "numbered": "5. Plan a trip to Lodz (5)",
    "lettered": "E) Plan a trip to Lodz",
}


@pytest.mark.attacks
@pytest.mark.parametrize("text", DRESSED.values(), ids=DRESSED)
def test_a_text_in_another_dress_is_the_same(text: str) -> None:
    assert near(text, "Plan a trip to Lodz")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("How do I cook beef?", "How do I cook pork?"),
        ("What happened in Paris in 2071?", "What happened in Rome in 2071?"),
        ("7 * 8?", "9 * 9?"),
        ("?", "!"),
        ("A?", "B?"),
        ("去北京旅行", "去上海旅行"),
        ("Plan a trip", ""),
    ],
)
def test_other_texts_are_others(left: str, right: str) -> None:
    assert not near(left, right)


def test_a_word_more_in_twenty_makes_no_other_text() -> None:
    long = " ".join(f"word{'abcdefghijklmnopqrst'[at]}" for at in range(20))
    assert near(long, long + " again") and not near(long, long + " and again and more")
    assert near("去北京旅行1", "去北京旅行２")


def test_forms() -> None:
    assert plain("Ünïcode,  Ｔest\u200b!") == "Unicode,  Test!"
    assert words("It's 3 o'clock") == ["it", "s", "3", "o", "clock"]
    assert letters("U-r-u-g-u-a-y Il1 O0") == letters("uruguay i1l 0o")
    assert plain("\ud800x") == "x"
