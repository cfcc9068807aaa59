"""The kits that have a name, as data: what a kit's name means must not depend on what can be loaded.

Kits of an access preset hold every tool of Assay's own that the preset grants, and kits of a family every one of the
family that `full` grants, as far as an auditor without a language model can drive it. A test derives both from the
tools, and says what to write here.
"""

from __future__ import annotations

from collections.abc import Mapping

# In the order in which a kit's name lists them; of two with the same tools the first gives the name.
_WRITTEN: Mapping[str, str] = {
    "prior-only": "",
    "chat": "ask system",
    # without `converse`: who does not think has nothing to say in a second turn
    "all": "ask system prefill search reference fuzz",
    "api": """
        ask breadth complete consistency converse languages many many_shot personas prefill repeat
        scaffolded_completion scaffolded_prefill scaffolded_user system user_turn
    """,
    "grey": """
        ask breadth complete consistency converse languages many many_shot personas prefill repeat
        scaffolded_completion scaffolded_prefill scaffolded_user system token_forcing user_turn
    """,
    "white": """
        ask breadth complete consistency converse fuzz fuzz_sweep honesty languages many many_shot melbo
        personas prefill repeat scaffolded_completion scaffolded_prefill scaffolded_user steer system
        token_forcing user_turn weight_noise
    """,
    "full": """
        amplify amplify_adapter ask breadth checkpoint_diff clusters complete consistency contrastive converse
        diff_mining difference_lens fuzz fuzz_sweep honesty influence kl_contexts languages latent_attack logit_lens
        many many_shot melbo perplexity_difference persona_vectors personas prefill prompt_search rank_one reference
        repeat sae scaffolded_completion scaffolded_prefill scaffolded_user search steer system terms
        token_forcing token_similarity user_turn weight_noise
    """,
    "blackbox": """
        ask breadth complete consistency converse languages many many_shot personas prefill repeat
        scaffolded_completion scaffolded_prefill scaffolded_user system token_forcing user_turn
    """,
    "data": "clusters influence search terms",
    "diffing": """
        amplify amplify_adapter checkpoint_diff contrastive diff_mining difference_lens kl_contexts latent_attack
        logit_lens perplexity_difference persona_vectors prompt_search rank_one reference sae token_similarity
    """,
    "interp": """
        amplify_adapter checkpoint_diff difference_lens honesty latent_attack logit_lens melbo persona_vectors
        prompt_search rank_one sae steer token_similarity weight_noise
    """,
    "latent": "difference_lens fuzz fuzz_sweep honesty latent_attack melbo prompt_search steer",
}

NAMED_KITS: Mapping[str, tuple[str, ...]] = {name: tuple(tools.split()) for name, tools in _WRITTEN.items()}
