//! Adapters that Python's PEFT wrote: the logits that it has, and adapters that it opens again. `tests/interop/peft_adapters.py` made the files, and looks at what
//! this writes where the environment variable `GRADUS_PEFT_OUT` says so.

use std::path::{Path, PathBuf};

use gradus::models::hf::{CausalLm, MaskedLm, OpenOptions, Pretrained};
use gradus::{Float, Shape, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::files::Folder;

const CASES: [&str; 4] = ["gpt2", "llama3_rope", "bert_mlm", "gpt_neox"];

fn fixtures(kind: &str, case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind).join(case)
}

/// Token ids and logits.
fn reference<T: Float>(case: &str) -> (Tensor<T>, Vec<f64>) {
    let bytes = std::fs::read(fixtures("peft", case).join("reference.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let ids = tensors.tensor("input_ids").unwrap();
    let words = |view: &TensorView<'_>| view.data().as_chunks::<8>().0.to_vec();
    let values = words(&ids).into_iter().map(|word| T::of(i64::from_le_bytes(word) as f64)).collect();
    let logits = words(&tensors.tensor("logits").unwrap()).into_iter().map(f64::from_le_bytes).collect();
    (Tensor::new(Shape::try_from(ids.shape()).unwrap(), values).unwrap(), logits)
}

fn opened<T: Float>(case: &str) -> Box<dyn std::ops::DerefMut<Target = Pretrained<T>>> {
    let (folder, options) = (fixtures("transformers", case), OpenOptions::default());
    match case {
        "bert_mlm" => Box::new(MaskedLm::<T>::open(folder, &options).unwrap()),
        _ => Box::new(CausalLm::<T>::open(folder, &options).unwrap()),
    }
}

fn logits<T: Float>(model: &Pretrained<T>, ids: &Tensor<T>) -> Vec<f64> {
    let inputs: Vec<Tensor<T>> = model
        .model()
        .input_names()
        .iter()
        .map(|name| match *name {
            "input_ids" => ids.clone(),
            "attention_mask" => Tensor::full(ids.shape(), T::one()),
            _ => Tensor::zeros(ids.shape()),
        })
        .collect();
    model.model().predict_all(&inputs).unwrap()[0].iter().map(|v| v.as_f64()).collect()
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

fn compare<T: Float>(case: &str, tolerance: f64) {
    let (ids, expected) = reference::<T>(case);
    let mut model = opened::<T>(case);
    let plain = logits(&model, &ids);
    assert!(far(&plain, &expected) > 1e-3, "{case}: the adapter does nothing");
    let beside = model.load_adapter("python", fixtures("peft", case)).unwrap();
    let names = model.model().lora_names();
    assert_eq!((names, beside > 0), (vec![("python", true)], true));
    let found = logits(&model, &ids);
    assert!(far(&found, &expected) <= tolerance, "{case} {}: {:e}", T::NAME, far(&found, &expected));
    // Merged it is the same but for rounding, and what is saved is opened again.
    let again = Folder::new(&format!("peft_{case}_{}", T::NAME));
    model.save_adapter("python", &again.0).unwrap();
    model.model_mut().merge_lora("python").unwrap();
    assert!(far(&logits(&model, &ids), &expected) <= 4.0 * tolerance, "{case} merged");
    let mut other = opened::<T>(case);
    other.load_adapter("again", &again.0).unwrap();
    assert_eq!(logits(&other, &ids), found, "{case}");
    if let Some(out) = std::env::var_os("GRADUS_PEFT_OUT").filter(|_| T::NAME == "f64") {
        let out = Path::new(&out).join(case);
        other.save_adapter("again", &out).unwrap();
        let bytes = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let ids_as: Vec<f64> = ids.iter().map(|v| v.as_f64()).collect();
        let whole: Vec<u8> = ids_as.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect();
        let shape = [ids.dims(), &[found.len() / ids.len()]].concat();
        let logits = bytes(&found);
        let views = [
            ("input_ids", TensorView::new(Dtype::I64, ids.dims().to_vec(), &whole).unwrap()),
            ("logits", TensorView::new(Dtype::F64, shape, &logits).unwrap()),
        ];
        std::fs::write(out.join("reference.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    }
}

#[test]
fn adapters_of_python() {
    for case in CASES {
        compare::<f64>(case, 1e-9);
        compare::<f32>(case, 2e-4);
    }
}
