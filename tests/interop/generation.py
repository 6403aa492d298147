"""What transformers writes with a toy model, greedily and by beam search; compared in tests/it/generation.rs.

The toy's logits for what follows ... a, b (a is 0 behind a single token) come out of a formula, `logit`, so that anyone can be the decoder.
They depend on the length too: else beams could have sums of the same numbers in another order, which rounding would order.

Needs: pip install torch transformers==5.24.0 numpy
Run from the repository: python tests/interop/generation.py > tests/fixtures/generation/transformers.json
"""

import json
import random
import warnings

import torch
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

warnings.filterwarnings("ignore")
VOCABULARY = 11
LENGTHS = 16


def logit(table, length, a, b, token):
    """A number in [-4, 4) by SplitMix64's finaliser."""
    z = (((table * LENGTHS + length) * VOCABULARY + a) * VOCABULARY + b) * VOCABULARY + token + 1
    z = z * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return ((z ^ (z >> 31)) >> 11) / 2**50 - 4


class ToyConfig(PretrainedConfig):
    model_type = "toy"


class Toy(PreTrainedModel, GenerationMixin):
    config_class = ToyConfig

    def __init__(self, config, table):
        super().__init__(config)
        tokens = range(VOCABULARY)
        values = [[[[logit(table, n, a, b, t) for t in tokens] for b in tokens] for a in tokens] for n in range(LENGTHS)]
        self.table = torch.nn.Parameter(torch.tensor(values), requires_grad=False)

    def forward(self, input_ids, **_):
        before = torch.cat([torch.zeros_like(input_ids[:, :1]), input_ids[:, :-1]], 1)
        length = torch.arange(1, input_ids.shape[1] + 1).expand_as(input_ids)
        return CausalLMOutput(logits=self.table[length, before, input_ids])

    def prepare_inputs_for_generation(self, input_ids, **_):
        return {"input_ids": input_ids}


def settings(rng):
    """Settings that differ from the defaults, in transformers' words."""
    ends = rng.choice([[0], [0], [0, 3], [3, 5, 0]])
    beams = rng.choice([1, 2, 3, 4, 4, 5])
    new = rng.randint(1, 9)
    chosen = {"num_beams": beams, "max_new_tokens": new, "eos_token_id": ends, "pad_token_id": 10}
    if beams > 1:
        chosen["early_stopping"] = rng.choice([False, False, True, "never"])
        chosen["length_penalty"] = rng.choice([-1.0, 0.0, 0.6, 1.0, 1.0, 2.0])
        chosen["num_return_sequences"] = beams
    some = {
        "repetition_penalty": rng.choice([0.7, 1.3, 2.0]),
        "no_repeat_ngram_size": rng.choice([1, 2, 3]),
        "bad_words_ids": rng.choice([[[4]], [[0]], [[1, 2], [7, 8, 9], [5]]]),
        "min_length": rng.randint(1, 8),
        "min_new_tokens": rng.randint(1, new),
        "forced_bos_token_id": rng.choice([2, 6]),
        "forced_eos_token_id": ends[0],
        "suppress_tokens": rng.sample(range(1, VOCABULARY), 2),
        "begin_suppress_tokens": rng.sample(range(VOCABULARY), 3),
    }
    for name in rng.sample(sorted(some), rng.choice([0, 0, 1, 2, 3])):
        chosen[name] = some[name]
    # There the one takes the other's place.
    if "min_new_tokens" in chosen:
        chosen.pop("min_length", None)
    return chosen


def case(rng):
    table = rng.randrange(10**6)
    chosen = settings(rng)
    length = rng.choice([1, 1, 2, 4])
    # Without the pad token, from which a mask would be made.
    prompts = [[rng.randrange(VOCABULARY - 1) for _ in range(length)] for _ in range(rng.choice([1, 2, 3]))]
    model = Toy(ToyConfig(), table)
    config = GenerationConfig(use_cache=False, do_sample=False, return_dict_in_generate=True, output_scores=True, **chosen)
    out = model.generate(torch.tensor(prompts), generation_config=config)
    rows = [row[length:] for row in out.sequences.tolist()]
    ends = chosen["eos_token_id"]
    cut = [row[: next((i + 1 for i, token in enumerate(row) if token in ends), len(row))] for row in rows]
    scores = out.sequences_scores.tolist() if chosen["num_beams"] > 1 else None
    # Scores that stand for nothing: too few sequences were possible.
    if scores and min(scores) < -1e6:
        return None
    each = chosen["num_beams"]
    return {
        "settings": chosen,
        "table": table,
        "prompts": prompts,
        "tokens": [cut[i : i + each] for i in range(0, len(cut), each)],
        "scores": scores and [[round(s, 6) for s in scores[i : i + each]] for i in range(0, len(cut), each)],
    }


def main():
    rng = random.Random(16)
    cases = []
    while len(cases) < 200:
        made = case(rng)
        if made:
            cases.append(made)
    print("[\n" + ",\n".join(json.dumps(made, separators=(",", ":")) for made in cases) + "\n]")


main()
