"""scikit-learn and Keras on the texts that benches/text.rs writes.  usage: python text_bench.py FILE THREADS [sklearn,keras]
one JSON line a workload; needs scikit-learn, tensorflow-cpu (keras 3 comes with it)"""
import json, os, sys, time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
T = int(sys.argv[2])
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(T)
rows = [line.rstrip("\n").split("\t") for line in open(sys.argv[1], encoding="utf-8")]
texts, labels = [text for text, _ in rows], [int(label) for _, label in rows]
held = len(texts) // 5
new, truth, texts, labels = texts[:held], labels[:held], texts[held:], labels[held:]
which = (sys.argv[3] if len(sys.argv) > 3 else "sklearn,keras").split(",")


def out(peer, workload, metric, value):
    print(json.dumps(dict(peer=peer, threads=T, workload=workload, metric=metric, value=value)), flush=True)


def report(peer, workload, accuracy, vectorized, seconds):
    out(peer, workload, "accuracy", accuracy)
    out(peer, workload, "s_in_all", seconds)
    out(peer, workload, "texts_per_s", len(rows) / seconds)
    out(peer, workload, "share_of_vectorizing", vectorized / seconds)


if "sklearn" in which:
    import sklearn
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    start = time.perf_counter()
    vectorizer = TfidfVectorizer(max_features=20000)
    x, x_new = vectorizer.fit_transform(texts), vectorizer.transform(new)
    vectorized = time.perf_counter() - start
    model = LogisticRegression().fit(x, labels)
    accuracy = model.score(x_new, truth)
    report(f"scikit-learn-{sklearn.__version__}", "text_linear", accuracy, vectorized, time.perf_counter() - start)
if "keras" in which:
    import keras, numpy as np, tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(T)
    tf.config.threading.set_inter_op_parallelism_threads(T)
    keras.utils.set_random_seed(0)
    labels, truth = np.array(labels), np.array(truth)
    L = keras.layers
    start = time.perf_counter()
    front = L.TextVectorization(max_tokens=20000, output_sequence_length=40)
    front.adapt(tf.data.Dataset.from_tensor_slices(texts).batch(1024))
    x, x_new = [np.concatenate([front(part[i : i + 4096]) for i in range(0, len(part), 4096)]) for part in (texts, new)]
    vectorized = time.perf_counter() - start
    model = keras.Sequential(
        [keras.Input((40,)), L.Embedding(20000, 16, mask_zero=True), L.GlobalAveragePooling1D(), L.Dense(8, activation="softmax")]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.002), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, labels, batch_size=128, epochs=2, verbose=0)
    accuracy = model.evaluate(x_new, truth, batch_size=256, verbose=0)[1]
    report(f"keras-{keras.__version__}/tf-{tf.__version__}", "text_embedding", accuracy, vectorized, time.perf_counter() - start)
