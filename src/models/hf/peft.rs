//! Adapters in the form of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::config::{read_object, write_json};
use super::pretrained::Pretrained;
use super::table::{Layout, Row};
use crate::error::{Error, Result};
use crate::graph::AdapterSpec;
use crate::io::{Archive, Stored, write_arrays};
use crate::model::Lora;
use crate::params::Reading;
use crate::tensor::Float;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What stands before the names of all tensors.
const ROOT: &str = "base_model.model.";

/// The longest settings that are read.
const MAX_LEN: u64 = 1 << 20;

/// Settings that change no number that is computed here, or are said by the tensors themselves.
const HARMLESS: [&str; 20] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "qalora_group_size",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "megatron_config",
    "megatron_core",
    "modules_to_save",
    "peft_version",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
];

impl<T: Float> Pretrained<T> {
    /// Puts adapters beside kernels, as [`Model::add_lora`](crate::Model::add_lora) does, where targets may also be names of Python's modules: `"q_proj"`
    /// stands for every module that ends so, `"model.layers.0.*"` for those of a pattern. What [`Lora::train`] names are layers, by their
    /// paths here or the names of modules that are layers here.
    ///
    /// ```no_run
    /// use gradus::model::Lora;
    /// use gradus::models::hf::CausalLm;
    /// let mut lm = CausalLm::from_pretrained("models/qwen3-0.6b")?;
    /// lm.add_lora("default", &Lora::new(8).alpha(16.0).target("q_proj").target("v_proj"))?;
    /// lm.save_adapter("default", "adapters/mine")?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `Model::add_lora`, with the names of both sides' modules.
    pub fn add_lora(&mut self, name: &str, lora: &Lora) -> Result<usize> {
        let translate = |pattern: &String, kernels: bool| -> Vec<String> {
            let adapts = |row: &&Row| !kernels || self.model().lora_targets().contains(&row.param.as_str());
            let found = self.rows_of_module(pattern).filter(adapts);
            let layer = |row: &Row| row.param.rsplit_once('/').map_or(row.param.clone(), |(layer, _)| layer.to_owned());
            let found: BTreeSet<String> =
                found.map(|row| if kernels { row.param.clone() } else { layer(row) }).collect();
            if found.is_empty() { vec![pattern.clone()] } else { found.into_iter().collect() }
        };
        let targets = lora.targets().iter().flat_map(|pattern| translate(pattern, true)).collect();
        let trained = lora.trained().iter().flat_map(|pattern| translate(pattern, false)).collect();
        self.model_mut().add_lora(name, &lora.clone().of(targets, trained))
    }

    /// The tensors of modules that a pattern stands for.
    fn rows_of_module<'p>(&'p self, pattern: &'p str) -> impl Iterator<Item = &'p Row> {
        let chars: Vec<char> = pattern.chars().collect();
        self.table().rows().iter().filter(move |row| {
            let module = row.file.rsplit_once('.').map_or(&*row.file, |(module, _)| module);
            let is_end = module.strip_suffix(pattern).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            is_end || crate::model::glob(&chars, &module.chars().collect::<Vec<_>>())
        })
    }

    /// Writes an adapter as PEFT opens it: a folder with `adapter_config.json` and `adapter_model.safetensors`. Layers that are trained beside it
    /// ([`Lora::train`]) go with it, as `modules_to_save`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that no adapter has; [`Error::Write`] where the folder cannot be written; [`Error::Config`] for weights that have no name
    /// in Python.
    pub fn save_adapter(&self, name: &str, folder: impl AsRef<Path>) -> Result<()> {
        self.save_adapter_at(name, folder.as_ref())
    }

    #[inline(never)]
    fn save_adapter_at(&self, name: &str, folder: &Path) -> Result<()> {
        const OP: &str = "save_adapter";
        let model = self.model();
        let Some(spec) = model.adapter(name) else {
            let names: Vec<&str> = model.lora_names().iter().map(|(name, _)| *name).collect();
            let expected = format!("the name of an adapter ({})", names.join(", "));
            return Err(Error::argument(OP, "name", expected, format!("{name:?}"), "add_lora makes adapters"));
        };
        let unnamed = |param: &str| {
            let problem = format!("{param} has no name in Python");
            Error::Config { op: OP, problem, hint: "save the model as gradus's own file, with Model::save".into() }
        };
        let mut arrays: Vec<(String, Vec<usize>, Vec<T>)> = Vec::new();
        let mut modules = Vec::new();
        for weight in &spec.weights {
            let row = self.table().rows().iter().find(|row| row.param == *weight).ok_or_else(|| unnamed(weight))?;
            let module = row.file.strip_suffix(".weight").ok_or_else(|| unnamed(weight))?;
            let [a, b] = spec.matrices(weight);
            // A lies as PyTorch's Linear, B as the weight that it stands beside.
            let of_b = if let Layout::HeadByHead(_) = row.layout { row.layout } else { Layout::Transposed };
            for (which, param, layout) in [("A", a, Layout::Transposed), ("B", b, of_b)] {
                let (shape, values) = self.laid_out(&param, layout)?;
                arrays.push((format!("{ROOT}{module}.lora_{which}.weight"), shape, values));
            }
            modules.push(module);
        }
        let own: BTreeSet<&str> = self.table().rows().iter().map(|row| row.param.as_str()).collect();
        let (mut saved, params) = (BTreeSet::new(), model.params());
        for param in params
            .specs()
            .iter()
            .filter(|param| spec.trained.contains(&param.name) && own.contains(param.name.as_str()))
        {
            for row in self.table().rows().iter().filter(|row| row.param == param.name) {
                let (shape, values) = self.laid_out(&row.param, row.layout)?;
                let module = row.file.rsplit_once('.').map_or(&*row.file, |(module, _)| module);
                saved.insert(self.saved_as(module, &spec.trained));
                arrays.push((format!("{ROOT}{}", row.file), shape, values));
            }
        }
        let alpha = spec.scale * spec.rank as f64;
        if !alpha.is_finite() {
            return Err(Error::argument(OP, "alpha", "a finite number", alpha, "take a smaller alpha"));
        }
        let alpha = if alpha.fract() == 0.0 && alpha.abs() < 1e15 { json!(alpha as i64) } else { json!(alpha) };
        let settings = json!({
            "peft_type": "LORA",
            "task_type": null,
            "base_model_name_or_path": "",
            "r": spec.rank,
            "lora_alpha": alpha,
            "lora_dropout": spec.dropout,
            "use_rslora": false,
            "use_dora": false,
            "bias": "none",
            "fan_in_fan_out": self.table().rows().iter().any(|row| spec.weights.contains(&row.param) && row.layout == Layout::AsIs),
            "target_modules": modules,
            "modules_to_save": if saved.is_empty() { Value::Null } else { json!(saved) },
            "inference_mode": true,
        });
        std::fs::create_dir_all(folder).map_err(|source| Error::Write { file: folder.to_owned(), source })?;
        write_arrays(&folder.join(WEIGHTS), "adapter", &arrays)?;
        write_json(&folder.join(CONFIG), &settings)
    }

    /// The module that stands for one of those inside it: of a head that is trained with all of its weights the whole head, else itself.
    fn saved_as<'m>(&self, module: &'m str, trained: &[String]) -> &'m str {
        let is_whole = |head: &str| {
            let inside = |file: &str| file.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
            self.table().rows().iter().filter(|row| inside(&row.file)).all(|row| trained.contains(&row.param))
        };
        match module.split_once('.') {
            Some((head, _)) if ["classifier", "lm_head", "cls"].contains(&head) && is_whole(head) => head,
            _ => module,
        }
    }

    /// Opens an adapter that PEFT, or [`save_adapter`](Self::save_adapter), wrote, under a name; gives how many weights it stands beside. It is used from now
    /// on, and trained once the model is compiled.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] for what cannot be read, another kind of adapter than LoRA, a setting that changes numbers and is not built (`use_dora`,
    /// `rank_pattern`), and tensors that do not fit the model, all of them by name; [`Error::Argument`] for a name that is taken.
    pub fn load_adapter(&mut self, name: &str, folder: impl AsRef<Path>) -> Result<usize> {
        self.load_adapter_at(name, folder.as_ref())
    }

    #[inline(never)]
    fn load_adapter_at(&mut self, name: &str, folder: &Path) -> Result<usize> {
        let settings = Settings::read(&folder.join(CONFIG))?;
        let mut archive = Archive::open(folder.join(WEIGHTS))?;
        let (pairs, saved) = self.sort(&archive, settings.rank)?;
        let spec = AdapterSpec {
            name: name.to_owned(),
            rank: settings.rank,
            scale: settings.scale,
            dropout: settings.dropout,
            active: true,
            merged: false,
            weights: pairs.keys().cloned().collect(),
            trained: saved.iter().map(|(row, _)| row.param.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
        };
        // Everything is read and looked at before anything changes.
        let mut read = |stored: &Stored| {
            let mut values = vec![T::zero(); stored.len()];
            archive.read(stored, &mut values)?;
            match values.iter().all(|v| v.is_finite()) {
                true => Ok(values),
                false => {
                    let problem = format!("{} holds NaN or infinity", stored.name);
                    Err(Error::file(archive.path(), problem, "train the adapter anew"))
                }
            }
        };
        let mut values: Vec<(String, Layout, Vec<T>)> = Vec::new();
        for (weight, Pair { layout, stored }) in &pairs {
            let of_b = if let Layout::HeadByHead(_) = layout { *layout } else { Layout::Transposed };
            for ((stored, param), layout) in stored.iter().zip(spec.matrices(weight)).zip([Layout::Transposed, of_b]) {
                values.push((param, layout, read(stored)?));
            }
        }
        for (row, stored) in &saved {
            values.push((row.param.clone(), row.layout, read(stored)?));
        }
        spec.check(self.model().adapters())?;
        let trained = spec.trained.clone();
        let count = self.model_mut().adapt(spec, &[])?;
        for param in &trained {
            // A layer whose weights are all there as that layer, which is saved with the model.
            let layer = param.rsplit_once('/').map_or(param.as_str(), |(layer, _)| layer);
            let begins = format!("{layer}/");
            let mut own = self
                .model()
                .params()
                .specs()
                .iter()
                .filter(|spec| spec.name.starts_with(&begins) && !spec.name.contains("/lora_"));
            let path = if own.all(|spec| trained.contains(&spec.name)) { layer } else { param };
            let model = self.model_mut();
            model.set_trainable(path, true).or_else(|_| model.set_trainable(param, true))?;
        }
        for (param, layout, values) in values {
            let params = &mut self.model_mut().params;
            let Some(id) = params.find(&param) else { continue };
            let (rows, outputs) = params.spec(id).map_or((0, 0), |spec| (spec.shape.rows(), spec.shape.last()));
            let shape = params.spec(id).map_or(Vec::new(), |spec| layout.in_file(spec));
            let to = params.get_mut(id);
            match layout {
                Layout::AsIs | Layout::Row => to.copy_from_slice(&values),
                _ => {
                    for (i, row) in values.chunks_exact(rows.max(1)).enumerate() {
                        let output = layout.place(i, outputs);
                        let to = to[output..].iter_mut().step_by(outputs);
                        to.enumerate().for_each(|(input, to)| *to = row[layout.column(input, &shape)]);
                    }
                }
            }
        }
        Ok(count)
    }

    /// The tensors of an archive by what they are: pairs beside weights, and whole weights. All that do not fit are one error.
    #[allow(clippy::type_complexity)]
    fn sort(&self, archive: &Archive<'_>, rank: usize) -> Result<(BTreeMap<String, Pair>, Vec<(Row, Stored)>)> {
        let (mut halves, mut saved): (BTreeMap<String, [Option<Stored>; 2]>, _) = (BTreeMap::new(), Vec::new());
        let (rows, params) = (self.table().rows(), self.model().params());
        let mut wrong = Vec::new();
        for stored in archive.arrays() {
            let Some(name) = stored.name.strip_prefix(ROOT) else {
                wrong.push(format!("{} does not begin with {ROOT}", stored.name));
                continue;
            };
            let half = [".lora_A.weight", ".lora_B.weight"].iter().position(|end| name.ends_with(end));
            if let Some(which) = half {
                let module = &name[..name.len() - ".lora_A.weight".len()];
                halves.entry(module.to_owned()).or_default()[which] = Some(stored.clone());
            } else if let Some(row) = rows.iter().find(|row| row.file == name) {
                match params.find(&row.param).and_then(|id| params.spec(id)) {
                    Some(spec) if row.layout.in_file(spec) == stored.shape && spec.packed.is_none() => {
                        saved.push((row.clone(), stored.clone()));
                    }
                    Some(spec) if spec.packed.is_some() => {
                        wrong.push(format!("{name} replaces a weight that is stored in blocks"))
                    }
                    spec => {
                        let expected = spec.map(|spec| row.layout.in_file(spec)).unwrap_or_default();
                        wrong.push(format!("{name} has shape {:?}, expected {expected:?}", stored.shape));
                    }
                }
            } else {
                wrong.push(format!("{name} is nothing that the model has"));
            }
        }
        let mut pairs = BTreeMap::new();
        for (module, halves) in halves {
            let row = rows.iter().find(|row| row.file.strip_suffix(".weight") == Some(&module));
            let spec = row.and_then(|row| Some((row, params.spec(params.find(&row.param)?)?)));
            let Some((row, spec)) = spec.filter(|(_, spec)| spec.reading == Reading::Product) else {
                wrong.push(format!("beside {module} there can be no adapter here"));
                continue;
            };
            let [Some(a), Some(b)] = halves else {
                wrong.push(format!("{module} has one of lora_A and lora_B alone"));
                continue;
            };
            let expected = [vec![rank, spec.shape.rows()], vec![spec.shape.last(), rank]];
            for (stored, expected) in [&a, &b].into_iter().zip(&expected) {
                if stored.shape != *expected {
                    wrong.push(format!("{} has shape {:?}, expected {expected:?}", stored.name, stored.shape));
                }
            }
            pairs.insert(row.param.clone(), Pair { layout: row.layout, stored: [a, b] });
        }
        if pairs.is_empty() && wrong.is_empty() {
            wrong.push("no lora_A and lora_B".to_owned());
        }
        if wrong.is_empty() {
            return Ok((pairs, saved));
        }
        let problem = format!("its tensors do not fit the model: {}", wrong.join("; "));
        Err(Error::file(archive.path(), problem, "open it with the model that it was trained for"))
    }

    /// Values of a parameter as a file has them, with their shape there.
    fn laid_out(&self, param: &str, layout: Layout) -> Result<(Vec<usize>, Vec<T>)> {
        let (model, mut values) = (self.model(), Vec::new());
        let params = model.params();
        let Some(spec) = params.find(param).and_then(|id| params.spec(id)) else { return Ok((Vec::new(), values)) };
        let gathered = super::writer::in_file(layout, spec, model.weight(param)?, |part| {
            values.extend_from_slice(part);
            Ok(())
        });
        gathered.map_err(|source| Error::Io { file: self.folder().to_owned(), source })?;
        Ok((layout.in_file(spec), values))
    }
}

/// The two matrices beside a weight, and how that lies in a folder.
struct Pair {
    layout: Layout,
    stored: [Stored; 2],
}

/// What `adapter_config.json` says.
struct Settings {
    rank: usize,
    scale: f64,
    dropout: f64,
}

impl Settings {
    fn read(file: &Path) -> Result<Self> {
        let mut values: Map<String, Value> = read_object(file, MAX_LEN)?;
        let wrong = |problem: String, hint: &str| Error::file(file, problem, hint);
        let kind = values.remove("peft_type").unwrap_or_default();
        if kind != "LORA" {
            return Err(wrong(format!("peft_type is {kind}, and LORA alone is built"), "train a LoRA adapter"));
        }
        let mut number = |key: &str, default: Option<f64>| match values.remove(key) {
            None | Some(Value::Null) => {
                default.ok_or_else(|| wrong(format!("{key} is missing"), "fetch the file again"))
            }
            Some(value) => value
                .as_f64()
                .filter(|v| v.is_finite())
                .ok_or_else(|| wrong(format!("{key} is {value}"), "a number is expected")),
        };
        let (rank, alpha) = (number("r", Some(8.0))?, number("lora_alpha", Some(8.0))?);
        let dropout = number("lora_dropout", Some(0.0))?;
        if rank < 1.0 || rank.fract() != 0.0 || rank > f64::from(1 << 20) {
            return Err(wrong(format!("r is {rank}"), "a whole number from 1 on is expected"));
        }
        // Some ways to begin change the weights beside which the adapter stands.
        let begun = values.remove("init_lora_weights").unwrap_or_default();
        let is_plain = matches!(&begun, Value::Null | Value::Bool(_))
            || ["gaussian", "eva", "orthogonal"].iter().any(|way| begun == *way);
        if !is_plain {
            let hint =
                "in Python, save it with path_initial_model_for_weight_conversion, which makes a plain adapter of it";
            return Err(wrong(format!("init_lora_weights is {begun}, which is not built"), hint));
        }
        let is_stabilised = match values.remove("use_rslora").unwrap_or_default() {
            Value::Null => false,
            Value::Bool(is_stabilised) => is_stabilised,
            other => return Err(wrong(format!("use_rslora is {other}"), "true or false is expected")),
        };
        // What says that something is as usual.
        let usual = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text == "none",
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if let Some((key, value)) =
            values.iter().find(|(key, value)| !HARMLESS.contains(&key.as_str()) && !usual(value))
        {
            let hint = "train the adapter without it, or merge it into the weights in Python";
            return Err(wrong(format!("{key} is {value}, which is not built"), hint));
        }
        let scale = alpha / if is_stabilised { rank.sqrt() } else { rank };
        Ok(Settings { rank: rank as usize, scale, dropout })
    }
}
