"""Adapters of PEFT beside the tiny models of tests/fixtures/transformers, and PEFT's word on adapters that gradus wrote.

python peft_adapters.py make tests/fixtures/transformers tests/fixtures/peft
    writes a folder for each case: an adapter whose matrices are drawn, and reference.safetensors (input_ids, logits in float64)
GRADUS_PEFT_OUT=out cargo test -p gradus-tests --test it peft
python peft_adapters.py check tests/fixtures/transformers out
    opens what gradus wrote there, and compares logits
needs torch, transformers, peft, safetensors
"""
import os, sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForTokenClassification

CASES = {
    "gpt2": (AutoModelForCausalLM, dict(r=3, lora_alpha=5, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)),
    "llama3_rope": (AutoModelForCausalLM, dict(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "down_proj"])),
    "bert_mlm": (AutoModelForMaskedLM, dict(r=2, lora_alpha=7, lora_dropout=0.1, target_modules=["query", "value"],
                                            modules_to_save=["LayerNorm"])),
    "gpt_neox": (AutoModelForCausalLM, dict(r=2, lora_alpha=4, target_modules=["query_key_value"])),
}


def opened(kind, folder):
    return kind.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()


def logits_of(model, x):
    """transformers takes norms, angles and softmax in single precision inside models of double precision: here in double, too."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    single = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        for module in model.modules():
            if hasattr(module, "inv_freq"):
                kind = getattr(module, "rope_type", "default")
                init = getattr(module, "compute_default_rope_parameters", None) if kind == "default" else ROPE_INIT_FUNCTIONS[kind]
                module.inv_freq = init(module.config, torch.device("cpu"))[0].double()
        with torch.no_grad():
            return model(input_ids=x).logits
    finally:
        torch.float32, torch.float, torch.Tensor.float = single


def ids(model):
    torch.manual_seed(3)
    return torch.randint(5, model.config.vocab_size, (2, 7))


def make(models, out):
    for name, (kind, settings) in CASES.items():
        folder = os.path.join(models, name)
        if not os.path.isdir(folder):
            print("no", folder)
            continue
        model = get_peft_model(opened(kind, folder), LoraConfig(**settings)).double().eval()
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter, values in model.named_parameters():
                if "lora_" in parameter:
                    values.copy_(torch.randn_like(values) * 0.2)
                elif "modules_to_save" in parameter:
                    values.add_(torch.randn_like(values) * 0.1)
        own = os.path.join(out, name)
        os.makedirs(own, exist_ok=True)
        model.save_pretrained(own)
        for rest in ["README.md"]:
            if os.path.exists(os.path.join(own, rest)):
                os.remove(os.path.join(own, rest))
        path = os.path.join(own, "adapter_config.json")
        text = open(path).read().replace(folder, name)
        open(path, "w").write(text)
        x = ids(model)
        logits = logits_of(model, x)
        save_file({"input_ids": x, "logits": logits.contiguous()}, os.path.join(own, "reference.safetensors"))
        print(name, tuple(logits.shape))


def check(models, out):
    for name, (kind, _) in CASES.items():
        own = os.path.join(out, name)
        if not os.path.isdir(own):
            continue
        model = PeftModel.from_pretrained(opened(kind, os.path.join(models, name)), own).double().eval()
        reference = load_file(os.path.join(own, "reference.safetensors"))
        logits = logits_of(model, reference["input_ids"].long())
        far = (logits - reference["logits"]).abs().max().item()
        print(name, "differs by", far)
        assert far < 1e-9, name


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](sys.argv[2], sys.argv[3])
