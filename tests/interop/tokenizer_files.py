"""Byte-pair encoding that Hugging Face's tokenizers learns of made-up texts; tests/it/tokenizers.rs learns the same.

Needs: pip install tokenizers
From the repository:
    python tests/interop/tokenizer_files.py                 writes tests/fixtures/text/trained.json
    GRADUS_TOKENIZERS=DIR cargo test -p gradus-tests --features text --test it tokenizers
    python tests/interop/tokenizer_files.py check DIR       opens the tokenizer.json files that were written there, and compares encodings
"""

import json
import pathlib
import random
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PARTS = "lo wer new est wide ma tok en iz ation un der stand ing é è ñ straße про вет 東 京 가 나 नम 12 7 _ 😀".split()


def texts():
    """Lines of words of a few parts, some of them far more often than others; no two parts alike in how often they come, and many that are."""
    rng = random.Random(11)
    words = ["".join(rng.choice(PARTS) for _ in range(rng.randint(1, 3))) for _ in range(120)]
    lines = []
    for _ in range(60):
        line = [words[min(int(rng.expovariate(0.06)), len(words) - 1)] for _ in range(rng.randint(1, 9))]
        lines.append(rng.choice([" ", " ", "  ", ", "]).join(line) + rng.choice(["", ".", "!\n", "\r\n", "'s"]))
    return lines


def write():
    lines = texts()
    cases = []
    for vocab_size, min_frequency, max_token_length, special in [
        (420, 0, None, ["<|endoftext|>"]),
        (400, 5, None, []),
        (380, 2, 4, ["<s>", "</s>"]),
        (5000, 1, None, []),
    ]:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
            vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=special,
            # tokenizers merges only what stays shorter than this.
            max_token_length=max_token_length and max_token_length + 1,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        ))
        model = json.loads(tokenizer.to_str())["model"]
        cases.append({
            "vocab_size": vocab_size, "min_frequency": min_frequency, "max_token_length": max_token_length, "special": special,
            "tokens": [token for token, _ in sorted(model["vocab"].items(), key=lambda entry: entry[1])],
            "merges": model["merges"],
        })
    out = pathlib.Path("tests/fixtures/text/trained.json")
    out.write_text(json.dumps({"texts": lines, "cases": cases}, ensure_ascii=False, separators=(",", ":")) + "\n")


def check(folder):
    checked = 0
    for file in sorted(pathlib.Path(folder).glob("*.tokenizer.json")):
        tokenizer = Tokenizer.from_file(str(file))
        for case in json.loads(file.with_name(file.name.replace(".tokenizer.", ".encodings.")).read_text()):
            encoding = tokenizer.encode(case["text"])
            starts = {len(case["text"][:i].encode()): i for i in range(len(case["text"]) + 1)}
            offsets = [(starts[start], starts[end]) for start, end in case["offsets"]]
            assert (encoding.ids, encoding.offsets) == (case["ids"], offsets), (file, case, encoding.ids, encoding.offsets)
            assert tokenizer.decode(encoding.ids) == case["decoded"], (file, case, tokenizer.decode(encoding.ids))
            checked += 1
    assert checked, f"no *.tokenizer.json in {folder}"
    print(checked, "encodings agree")


if sys.argv[1:2] == ["check"]:
    check(sys.argv[2])
else:
    write()
