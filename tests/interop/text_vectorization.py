"""What Keras's TextVectorization and scikit-learn's HashingVectorizer make of made-up texts; the answers are compared in
tests/it/text_front.rs.

Needs: pip install keras tensorflow-cpu scikit-learn
Run from the repository: python tests/interop/text_vectorization.py tests/fixtures/text
"""

import json
import random
import sys

import keras
import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

WORDS = "the The a cat cats dog. sat, ON mat; it's 12 3.5 ÉTÉ café 猫が 好, x-y [UNK] _ don't z\u00a0z\u3000q \U00020bb7 ß I".split(" ")
SPACES = [" ", " ", " ", "  ", "\t", "\n", "\x0b", "\x1c"]


def texts(rng, n, most=9):
    out = []
    for _ in range(n):
        words = [rng.choice(WORDS) for _ in range(rng.randint(0, most))]
        out.append(rng.choice(["", "", " "]) + "".join(word + rng.choice(SPACES) for word in words))
    return out


def case(rng, **settings):
    """A layer that learned from some texts, and what it makes of others."""
    known, others = texts(rng, 14), texts(rng, 5) + ["", "the cat nowhere"]
    layer = keras.layers.TextVectorization(**settings)
    if "vocabulary" not in settings:
        layer.adapt(np.array(known).reshape(-1, 1))
    x = np.array(layer(np.array(others).reshape(-1, 1)))
    out = {"settings": settings, "known": known, "others": others, "shape": list(x.shape), "x": x.ravel().tolist()}
    out["vocabulary"] = [str(entry) for entry in layer.get_vocabulary()]
    if settings.get("output_mode") == "tf_idf":
        out["idf"] = np.array(layer._lookup_layer.idf_weights).tolist()[: len(out["vocabulary"])]
    return out


def keras_cases():
    rng = random.Random(3)
    cases = [case(rng)]
    for standardize in ("lower", "strip_punctuation", None):
        cases.append(case(rng, standardize=standardize))
    for split in ("character", None):
        cases.append(case(rng, split=split))
        cases.append(case(rng, split=split, output_mode="count"))
    for length in (1, 4, 30):
        cases.append(case(rng, output_sequence_length=length))
    for ngrams in (1, 2, 3, (2,), (3, 1), (1, 4)):
        cases.append(case(rng, ngrams=ngrams, output_sequence_length=12))
        cases.append(case(rng, ngrams=ngrams, output_mode="tf_idf", max_tokens=20))
    cases.append(case(rng, split="character", ngrams=2, max_tokens=30))
    for mode in ("int", "multi_hot", "count", "tf_idf"):
        cases.append(case(rng, output_mode=mode))
        cases.append(case(rng, output_mode=mode, max_tokens=6))
        if mode != "int":
            cases.append(case(rng, output_mode=mode, max_tokens=6, pad_to_max_tokens=True))
            cases.append(case(rng, output_mode=mode, max_tokens=60, pad_to_max_tokens=True))
    for vocabulary in (["the", "cat", "sat"], ["cat", "[UNK]", "12"]):
        cases.append(case(rng, vocabulary=vocabulary))
        cases.append(case(rng, vocabulary=vocabulary, output_mode="count", max_tokens=9, pad_to_max_tokens=True))
        cases.append(case(rng, vocabulary=vocabulary, output_mode="tf_idf", idf_weights=[0.5, 0.25, 2.0]))
    cases.append(case(rng, vocabulary=["", "[UNK]", "the", "mat"]))
    cases.append(case(rng, vocabulary=["[UNK]", "the"], output_mode="tf_idf", idf_weights=[0.5, 0.75]))
    return cases


def hashed_case(rng, ngrams, **settings):
    some = [" ".join(text.split()) for text in texts(rng, 6)]
    vectorizer = HashingVectorizer(
        preprocessor=lambda text: text, tokenizer=str.split, token_pattern=None, ngram_range=ngrams, **settings
    )
    x = vectorizer.transform(some).toarray()
    return {"settings": settings, "ngrams": ngrams, "texts": some, "x": x.ravel().tolist()}


def hashed_cases():
    rng = random.Random(5)
    cases = []
    for analyzer in ("word", "char", "char_wb"):
        for ngrams, features in (((1, 1), 32), ((1, 2), 7), ((2, 4), 64)):
            cases.append(hashed_case(rng, ngrams, analyzer=analyzer, n_features=features))
            cases.append(hashed_case(rng, ngrams, analyzer=analyzer, n_features=features, alternate_sign=False, norm=None))
    return cases


def write(name, cases):
    with open(f"{sys.argv[1]}/{name}.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")


write("text_vectorization", keras_cases())
write("hashing_vectorizer", hashed_cases())
