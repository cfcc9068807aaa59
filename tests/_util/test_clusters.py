"""Texts that say the same are one cluster, whatever their order; what is unlike is none."""

import random

from assay._util.clusters import clusters, sentences_of

RAIN = ["It rained all day long.", "It was raining the whole day.", "All day long it was raining."]
MONEY = ["Put your savings in the bank.", "Keep your savings in a bank account."]
OTHER = ["Chess is played on a board.", "My cat sleeps on the sofa."]


def groups(texts: list[str]) -> set[frozenset[str]]:
    return {frozenset(texts[member] for member in cluster.members) for cluster in clusters(texts)}


def test_what_says_the_same_is_together_in_whatever_order() -> None:
    texts = [*RAIN, *MONEY, *OTHER]
    found = groups(texts)
    assert frozenset(RAIN) in found and frozenset(MONEY) in found and len(found) == 4
    for seed in range(5):
        mixed = texts[:]
        random.Random(seed).shuffle(mixed)
        assert groups(mixed) == found


def test_every_text_is_in_one_cluster_and_the_largest_comes_first() -> None:
    texts = [*OTHER, *RAIN, *MONEY, RAIN[0].upper(), "  ".join(RAIN[0].split())]
    found = clusters(texts)
    assert sorted(member for cluster in found for member in cluster.members) == list(range(len(texts)))
    sizes = [len(cluster.members) for cluster in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 5
    assert all(cluster.centre in cluster.members for cluster in found)


def test_a_chain_of_small_steps_is_no_cluster() -> None:
    """Each is like its neighbour, the first and the last are not: single linkage would make one of them."""
    chain = ["bread and butter", "butter and jam", "jam and honey", "honey and bees", "bees and flowers"]
    near = 0.45
    assert all(len(cluster.members) < len(chain) for cluster in clusters(chain, near))


def test_texts_without_words_are_alike_only_if_they_are_equal() -> None:
    assert clusters([]) == []
    assert {cluster.members for cluster in clusters(["", "", "🤡", "It rains."])} == {(0, 1), (2,), (3,)}


def test_sentences_are_of_four_words_or_more() -> None:
    assert sentences_of("Yes. It is as you say!\nAnd so it   goes on. No") == [
        "It is as you say!",
        "And so it goes on.",
    ]
