"""Files by llama.cpp's gguf-py: blocks.gguf, what it makes of values and of blocks; and folders of transformers as GGUF.

    python gguf_files.py FOLDER [FOLDER_OF_TRANSFORMERS ...]          (pip install gguf numpy; written with gguf 0.19)

Names come from gguf-py's own map, keys from its writer; what else a conversion changes is written down here as llama.cpp reads it.
"""
import json
import os
import struct
import sys

import gguf
import numpy as np

KIND = gguf.GGMLQuantizationType


def blocks(path):
    """Values with ties, zeros and scales that half precision loses; each kind's bytes, and what they are decoded to."""
    random = np.random.default_rng(11)
    x = random.standard_normal((12, 64)).astype(np.float32) * (10.0 ** random.integers(-6, 5, (12, 1))).astype(np.float32)
    x[0] = 0
    x[1, ::2] = -x[1, 1::2]  # ties of the largest size, with both signs
    x[2] = (np.arange(64) - 31.5) / 2  # halves, once they are scaled
    x[3] = np.round(random.standard_normal(64) * 4) / 2
    x[4] *= 1e-6 / np.abs(x[4]).max()
    x[5, 7], x[5, :7], x[5, 8:] = -63.5, np.arange(7) + 0.25, np.linspace(-63.25, 63.25, 56)
    w = gguf.GGUFWriter(path, 'blocks')
    w.add_uint32('blocks.rows', 12)
    w.add_array('blocks.nested', [[1, 2], [3]])
    w.add_array('blocks.names', ['a', 'ü', ''])
    w.add_float32('blocks.small', 1e-5)
    w.add_bool('blocks.yes', True)
    w.add_int64('blocks.negative', -3)
    w.add_float64('blocks.wide', 0.1)
    w.add_tensor('values', x)
    for kind in [KIND.Q8_0, KIND.Q4_0]:
        q = gguf.quants.quantize(x, kind)
        w.add_tensor(kind.name, q, raw_dtype=kind)
        w.add_tensor(kind.name + '.decoded', gguf.quants.dequantize(q, kind))
    half = np.concatenate([x[1], x[2], x[3], [65504, -65504, 2.0**-24, 3e-6, 1e-8]]).astype(np.float32)
    w.add_tensor('half.values', half)
    w.add_tensor('F16', half.astype(np.float16))
    w.add_tensor('F16.decoded', half.astype(np.float16).astype(np.float32))
    w.add_tensor('BF16', gguf.quants.quantize(half, KIND.BF16), raw_dtype=KIND.BF16)
    w.add_tensor('BF16.decoded', gguf.quants.dequantize(gguf.quants.quantize(half, KIND.BF16), KIND.BF16))
    for kind, size, scales in [(KIND.Q4_K, 144, [0, 2]), (KIND.Q6_K, 210, [208])]:
        q = random.integers(0, 256, (3, size)).astype(np.uint8)
        for at in scales:
            q[:, at : at + 2] = random.uniform(-2, 2, 3).astype(np.float16).reshape(3, 1).view(np.uint8)
        q[2, scales[0] : scales[0] + 2] = [3, 0]  # a subnormal scale
        w.add_tensor(kind.name, q, raw_dtype=kind)
        w.add_tensor(kind.name + '.decoded', gguf.quants.dequantize(q, kind))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def tensors(folder):
    """All tensors of a folder, in single precision."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith('.safetensors') or name.startswith(('reference', 'sampling')):
            continue
        with open(os.path.join(folder, name), 'rb') as file:
            (length,) = struct.unpack('<Q', file.read(8))
            head, data = json.loads(file.read(length)), file.read()
        for key, about in head.items():
            if key != '__metadata__':
                start, end = about['data_offsets']
                kind = {'F32': np.float32, 'F16': np.float16, 'F64': np.float64}[about['dtype']]
                found[key] = np.frombuffer(data[start:end], kind).reshape(about['shape']).astype(np.float32)
    return found


def neighbours(w, heads):
    """Rows of a head whose halves turn together, as rows whose neighbours do."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def model(folder, path):
    """A folder as convert_hf_to_gguf.py writes it, without a tokenizer."""
    c = json.load(open(os.path.join(folder, 'config.json')))
    rope = c.get('rope_parameters') or {}
    rope = rope.get('full_attention', rope)
    kind = c['model_type']
    name = {'gemma3_text': 'gemma3', 'gpt_neox': 'gptneox', 'mistral': 'llama'}.get(kind, kind)
    arch = {text: arch for arch, text in gguf.MODEL_ARCH_NAMES.items()}[name]
    get = lambda *keys: next(c[key] for key in keys if c.get(key) is not None)
    blocks, width, heads = get('num_hidden_layers', 'n_layer'), get('hidden_size', 'n_embd'), get('num_attention_heads', 'n_head')
    w = gguf.GGUFWriter(path, name)
    w.add_context_length(get('max_position_embeddings', 'n_positions'))
    w.add_embedding_length(width)
    w.add_block_count(blocks)
    w.add_feed_forward_length(c.get('intermediate_size') or c.get('n_inner') or 4 * width)
    w.add_head_count(heads)
    w.add_vocab_size(c['vocab_size'])
    w.add_tokenizer_model('no_vocab')
    if c.get('bos_token_id') is not None:
        w.add_bos_token_id(c['bos_token_id'])
    if c.get('eos_token_id') is not None:
        w.add_eos_token_id(c['eos_token_id'])
    head_dim = c.get('head_dim') or width // heads
    key_heads = c.get('num_key_value_heads') or heads
    if name in ('gpt2', 'gptneox'):
        w.add_layer_norm_eps(get('layer_norm_epsilon', 'layer_norm_eps'))
    else:
        w.add_head_count_kv(key_heads)
        w.add_layer_norm_rms_eps(c['rms_norm_eps'])
        if c.get('head_dim'):
            w.add_key_length(head_dim)
            w.add_value_length(head_dim)
    if name != 'gpt2':
        part = rope.get('partial_rotary_factor', c.get('rotary_pct', 1.0))
        w.add_rope_dimension_count(int(head_dim * part))
        w.add_rope_freq_base(rope.get('rope_theta', c.get('rope_theta', 1e4)))
    if name == 'gptneox':
        w.add_parallel_residual(c.get('use_parallel_residual', True))
    if name == 'phi3':
        w.add_rope_scaling_orig_ctx_len(c.get('original_max_position_embeddings') or c['max_position_embeddings'])
    if c.get('sliding_window') and name not in ('qwen2', 'qwen3'):
        w.add_sliding_window(c['sliding_window'])
    if c.get('attn_logit_softcapping'):
        w.add_attn_logit_softcapping(c['attn_logit_softcapping'])
    if c.get('final_logit_softcapping'):
        w.add_final_logit_softcapping(c['final_logit_softcapping'])
    if name == 'gemma3':
        w.add_array('gemma3.attention.sliding_window_pattern', [kind == 'sliding_attention' for kind in c['layer_types']])
        w.add_float32('gemma3.rope.freq_base_swa', (c.get('rope_parameters') or {}).get('sliding_attention', {}).get('rope_theta', 1e4))
    if rope.get('rope_type') == 'linear':
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(rope['factor'])
    if rope.get('rope_type') == 'llama3':
        frequencies = 1.0 / rope['rope_theta'] ** (np.arange(0, head_dim, 2) / head_dim)
        low, high, length = rope['low_freq_factor'], rope['high_freq_factor'], rope['original_max_position_embeddings']
        factors = []
        for wave in 2 * np.pi / frequencies:
            smooth = np.clip((length / wave - low) / (high - low), 0, 1)
            factors.append(1 / ((1 - smooth) / rope['factor'] + smooth))
        w.add_tensor('rope_freqs.weight', np.array(factors, np.float32))
    names = gguf.get_tensor_name_map(arch, blocks)
    held = tensors(folder)
    if c.get('tie_word_embeddings', True):
        held.pop('lm_head.weight', None)
    for key, value in held.items():
        own = names.get_name(key, try_suffixes=('.weight', '.bias'))
        if own is None:
            own = names.get_name('transformer.' + key, try_suffixes=('.weight', '.bias'))
        if name == 'llama' and '.q_proj.' in key:
            value = neighbours(value, heads)
        if name == 'llama' and '.k_proj.' in key:
            value = neighbours(value, key_heads)
        if name == 'gpt2' and value.ndim == 2 and '.h.' in key:
            value = value.T
        if name.startswith('gemma') and key.endswith('norm.weight'):
            value = value + 1
        if 'query_key_value' in key:
            value = value.reshape(heads, 3, head_dim, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)
        w.add_tensor(own, np.ascontiguousarray(value))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == '__main__':
    os.makedirs(sys.argv[1], exist_ok=True)
    blocks(os.path.join(sys.argv[1], 'blocks.gguf'))
    for folder in sys.argv[2:]:
        model(folder, os.path.join(sys.argv[1], os.path.basename(os.path.normpath(folder)) + '.gguf'))
