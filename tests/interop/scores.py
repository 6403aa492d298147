"""What sacrebleu, rouge-score and jiwer say of made-up sentences; the answers are compared in tests/it/text.rs.

Needs: pip install sacrebleu rouge-score jiwer
Run from the repository: python tests/interop/scores.py > tests/fixtures/text/scores.json
"""

import json
import random

import jiwer
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF

WORDS = "the a cat dog sat on mat, ran over hill. (so) it's 12 été 猫 が , . x".split()


class Spaces:
    """Tokens as they stand between spaces."""

    def tokenize(self, text):
        return text.split()


def sentence(rng, least=1):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, 14)))


def near(rng, text):
    """The sentence with a few words changed, left out or put in."""
    out = []
    for word in text.split():
        chance = rng.random()
        if chance < 0.12:
            continue
        out.append(rng.choice(WORDS) if chance < 0.3 else word)
        if chance > 0.92:
            out.append(rng.choice(WORDS))
    return " ".join(out) or "x"


def case(rng, n, references, far):
    wanted = [[sentence(rng) for _ in range(references)] for _ in range(n)]
    written = [sentence(rng) if rng.random() < far else near(rng, texts[0]) for texts in wanted]
    streams = [list(column) for column in zip(*wanted)]
    bleus = {}
    for name, how in {
        "plain": {},
        "effective": {"effective_order": True},
        "floor": {"smooth_method": "floor", "smooth_value": 0.1},
        "add_k": {"smooth_method": "add-k", "smooth_value": 1},
        "none": {"smooth_method": "none"},
        "order_2": {"max_ngram_order": 2},
    }.items():
        score = BLEU(tokenize="none", force=True, **how).corpus_score(written, streams)
        bleus[name] = {"score": score.score, "precisions": score.precisions, "bp": score.bp, "lens": [score.sys_len, score.ref_len]}
    chrfs = {
        "plain": CHRF().corpus_score(written, streams).score,
        "words": CHRF(word_order=2).corpus_score(written, streams).score,
        "beta_1": CHRF(beta=1, char_order=4).corpus_score(written, streams).score,
    }
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Spaces())
    rouges = []
    for text, texts in zip(written, wanted):
        scores = scorer.score(texts[0], text)
        rouges.append([[scores[kind].precision, scores[kind].recall, scores[kind].fmeasure] for kind in ("rouge1", "rouge2", "rougeL")])
    first = streams[0]
    return {
        "written": written,
        "wanted": wanted,
        "bleu": bleus,
        "chrf": chrfs,
        "rouge": rouges,
        "wer": jiwer.wer(first, written),
        "cer": jiwer.cer(first, written),
    }


rng = random.Random(7)
cases = [case(rng, n, references, far) for n, references, far in [(1, 1, 0), (1, 1, 1), (1, 2, 0.5), (8, 1, 0.2), (12, 3, 0.5), (30, 2, 0)]]
print(json.dumps(cases, ensure_ascii=False, indent=None))
