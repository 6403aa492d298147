//! Low-rank adapters: thin matrices beside frozen weights, trained in their place.

use super::built::Model;
use super::matching::glob;
use crate::error::{Error, Result};
use crate::graph::{AdapterSpec, Outline};
use crate::layers::adapter;
use crate::params::{ParamId, ParamSpec, Reading};
use crate::tensor::Float;

/// What [`Model::add_lora`] puts beside weights: of a kernel W `[in, out]` two matrices A `[in, rank]` and B `[rank, out]`, and products become
/// x·W + s·(x·A)·B with s = alpha / rank.
///
/// - Dropout draws for each sample; where one layer is applied several times, the same in all places.
/// - Defaults: rank as given, alpha the same, no dropout, every kernel of a `Dense`, a `GatedDense` or attention but those of the outputs, nothing else trained.
/// - A is drawn evenly from ±1/√in and B is zeros, so that before training nothing has changed.
///
/// Hu et al.: "LoRA: Low-Rank Adaptation of Large Language Models", 2021; s = alpha / √rank is Kalajdzievski: "A Rank Stabilization Scaling Factor for
/// Fine-Tuning with LoRA", 2023. PEFT `LoraConfig(r, lora_alpha, lora_dropout, target_modules, modules_to_save, use_rslora)`.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::model::Lora;
/// let layers = Sequential::new([8]).add(Dense::new(16).activation(Activation::Relu)).add_named("head", Dense::new(3));
/// let mut model = layers.build(0)?;
/// assert_eq!(model.add_lora("task", &Lora::new(2).target("dense").train("head"))?, 1);
/// assert_eq!(model.summary().trainable, 2 * (8 + 16) + 16 * 3 + 3);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    rank: usize,
    alpha: Option<f64>,
    dropout: f64,
    rank_stabilised: bool,
    targets: Vec<String>,
    trained: Vec<String>,
}

impl Lora {
    /// Adapters of a rank.
    pub fn new(rank: usize) -> Self {
        Lora { rank, alpha: None, dropout: 0.0, rank_stabilised: false, targets: Vec::new(), trained: Vec::new() }
    }

    /// What the product of the two matrices is multiplied by, times the rank; the rank by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// The part of x that is dropped before A in training; 0 by default.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.dropout = rate;
        self
    }

    /// Whether s is alpha / √rank, with which a higher rank learns as fast as a low one; no by default. PEFT `use_rslora`.
    pub fn rank_stabilised(mut self, rank_stabilised: bool) -> Self {
        self.rank_stabilised = rank_stabilised;
        self
    }

    /// A pattern of paths of kernels, or of layers with a kernel: `*` stands for any number of characters, slashes too, `?` for one. May be called again;
    /// what any of the patterns stands for has adapters.
    pub fn target(mut self, pattern: &str) -> Self {
        self.targets.push(pattern.to_owned());
        self
    }

    /// A pattern of paths of layers that are trained as a whole: a new head, norms. May be called again. PEFT `modules_to_save`.
    pub fn train(mut self, pattern: &str) -> Self {
        self.trained.push(pattern.to_owned());
        self
    }

    /// The patterns of kernels, and of layers that are trained as a whole.
    #[cfg(feature = "files")]
    pub(crate) fn targets(&self) -> &[String] {
        &self.targets
    }

    #[cfg(feature = "files")]
    pub(crate) fn trained(&self) -> &[String] {
        &self.trained
    }

    /// The same with other patterns.
    #[cfg(feature = "files")]
    pub(crate) fn of(self, targets: Vec<String>, trained: Vec<String>) -> Self {
        Lora { targets, trained, ..self }
    }

    /// The factor of x·A·B.
    pub(crate) fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha.unwrap_or(rank) / if self.rank_stabilised { rank.sqrt() } else { rank }
    }
}

const OP: &str = "add_lora";

impl<T: Float> Model<T> {
    /// Freezes the model and puts adapters beside its kernels, under a name; gives how many kernels have one. Compile it afterwards: then the adapters are
    /// trained, and what [`Lora::train`] names. Other adapters stop being used, until [`set_active_lora`](Self::set_active_lora) says otherwise.
    ///
    /// The matrices are weights as any other, named `path/kernel/lora_a/name` and `…/lora_b/name`: they are saved with the model and go into checkpoints.
    /// Frozen layers are as [`set_trainable`](Self::set_trainable) has them: a `BatchNorm` keeps its statistics.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is taken or has a slash, a rank of 0, a dropout outside of [0, 1), or a pattern that nothing matches. The model
    /// is unchanged then.
    #[inline(never)]
    pub fn add_lora(&mut self, name: &str, lora: &Lora) -> Result<usize> {
        let mut spec = AdapterSpec {
            name: name.to_owned(),
            rank: lora.rank,
            scale: lora.scale(),
            dropout: lora.dropout,
            active: true,
            merged: false,
            weights: Vec::new(),
            trained: Vec::new(),
        };
        spec.check(self.graph.adapters())?;
        spec.weights = self.matching(&lora.targets)?;
        let trained = self.trained_with(&lora.trained)?;
        spec.trained = self.params_of(&trained);
        self.adapt(spec, &trained)
    }

    /// Puts one more adapter on and trains it, and these layers with it.
    pub(crate) fn adapt(&mut self, spec: AdapterSpec, trained: &[String]) -> Result<usize> {
        let (first, kernels) = (self.graph.adapters().len(), spec.weights.len());
        let held = self.params.specs().len();
        for other in self.graph.adapters() {
            if let Some(shared) = spec.trained.iter().find(|path| other.trained.contains(path)) {
                let problem = format!(
                    "{shared} is trained as a whole beside the adapter {:?}, and there is one of it alone",
                    other.name
                );
                let hint = "open the model a second time for an adapter with a head of its own".into();
                return Err(Error::Config { op: OP, problem, hint });
            }
        }
        self.graph.adapters_mut().push(spec);
        if let Err(error) = self.graph.adapt(first, &mut self.net, &mut self.params, self.seed, None) {
            self.graph.adapters_mut().truncate(first);
            self.net.forget_params(held);
            self.params.truncate(held, first);
            self.net.settle_by_rows(&self.params);
            return Err(error);
        }
        for i in 0..self.net.outline().len() {
            let part = &self.net.outline()[i];
            let params = part.params.clone();
            if !params.is_empty() {
                self.settle(params, &[i], false);
            }
        }
        // What is merged stays in the weights; the others are not used.
        for other in &mut self.graph.adapters_mut()[..first] {
            other.active = other.merged;
        }
        self.refresh_adapters();
        for pattern in trained {
            self.set_trainable_matching(pattern, true)?;
        }
        self.forget_compiled();
        Ok(kernels)
    }

    /// What the model knows of its adapters, and of one.
    #[cfg(feature = "files")]
    pub(crate) fn adapters(&self) -> &[AdapterSpec] {
        self.graph.adapters()
    }

    #[cfg(feature = "files")]
    pub(crate) fn adapter(&self, name: &str) -> Option<&AdapterSpec> {
        self.graph.adapters().iter().find(|spec| spec.name == name)
    }

    /// The paths of the kernels that can have adapters.
    pub fn lora_targets(&self) -> Vec<&str> {
        self.params
            .specs()
            .iter()
            .filter(|spec| spec.reading == Reading::Product)
            .map(|spec| spec.name.as_str())
            .collect()
    }

    /// The kernels that patterns name; without any, all but those of outputs.
    fn matching(&self, patterns: &[String]) -> Result<Vec<String>> {
        let targets = self.lora_targets();
        if patterns.is_empty() {
            let ends: Vec<&str> = Outline::nodes(self.net.outline())
                .iter()
                .filter(|node| node.outputs.clone().any(|value| self.graph.output_places().contains(&value)))
                .map(|node| node.path.as_str())
                .collect();
            let is_end =
                |path: &str| ends.iter().any(|end| path.strip_prefix(end).is_some_and(|rest| rest.starts_with('/')));
            let all: Vec<String> = targets.iter().filter(|path| !is_end(path)).map(|path| (*path).to_owned()).collect();
            if all.is_empty() {
                let problem = "no layer before the outputs has a kernel that adapters could stand beside".to_owned();
                let hint = "name kernels with Lora::target; Model::lora_targets lists them".to_owned();
                return Err(Error::Config { op: OP, problem, hint });
            }
            return Ok(all);
        }
        let mut found = vec![false; targets.len()];
        for pattern in patterns {
            let chars: Vec<char> = pattern.chars().collect();
            let fits = |text: &str| glob(&chars, &text.chars().collect::<Vec<_>>());
            let mut any = false;
            for (found, path) in found.iter_mut().zip(&targets) {
                let layer = path.rsplit_once('/').map_or("", |(layer, _)| layer);
                if fits(path) || fits(layer) {
                    (*found, any) = (true, true);
                }
            }
            if !any {
                let expected = format!("one that stands for a kernel ({})", targets.join(", "));
                let hint = match self.params.specs().iter().any(|spec| fits(&spec.name)) {
                    true => {
                        "of what it stands for, nothing is read by products with rows alone: tied heads and tables have no adapters"
                    }
                    false => "* stands for any characters, ? for one",
                };
                return Err(Error::argument(OP, "target", expected, pattern, hint));
            }
        }
        Ok(targets.iter().zip(found).filter(|(_, found)| *found).map(|(path, _)| (*path).to_owned()).collect())
    }

    /// The patterns of layers, each of which stands for one with weights.
    fn trained_with(&self, patterns: &[String]) -> Result<Vec<String>> {
        let all = Outline::all(self.net.outline());
        let known: Vec<&str> =
            all.iter().filter(|(_, part)| !part.params.is_empty()).map(|(path, _)| path.as_str()).collect();
        for pattern in patterns {
            let chars: Vec<char> = pattern.chars().collect();
            for (_, part) in all.iter().filter(|(path, _)| glob(&chars, &path.chars().collect::<Vec<_>>())) {
                self.check_thawed(OP, part.params.clone())?;
            }
            if !known.iter().any(|path| glob(&chars, &path.chars().collect::<Vec<_>>())) {
                let expected = format!("one that stands for a layer with weights ({})", known.join(", "));
                return Err(Error::argument(OP, "train", expected, pattern, "* stands for any characters, ? for one"));
            }
        }
        Ok(patterns.to_vec())
    }

    /// The paths of the weights of layers that patterns name.
    fn params_of(&self, patterns: &[String]) -> Vec<String> {
        let mut found = Vec::new();
        for pattern in patterns {
            let chars: Vec<char> = pattern.chars().collect();
            for (_, part) in Outline::all(self.net.outline())
                .iter()
                .filter(|(path, _)| glob(&chars, &path.chars().collect::<Vec<_>>()))
            {
                found.extend(
                    self.params.specs()[part.params.clone()]
                        .iter()
                        .filter(|spec| !spec.state)
                        .map(|spec| spec.name.clone()),
                );
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The names of the adapters, and whether each is used.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::model::Lora;
    /// let mut model = Sequential::new([8]).add(Dense::new(16)).add(Dense::new(3)).build(0)?;
    /// model.add_lora("german", &Lora::new(2))?;
    /// model.add_lora("french", &Lora::new(4))?;
    /// assert_eq!(model.lora_names(), [("german", false), ("french", true)]);
    /// model.set_active_lora(&["german", "french"])?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn lora_names(&self) -> Vec<(&str, bool)> {
        self.graph.adapters().iter().map(|spec| (spec.name.as_str(), spec.active)).collect()
    }

    /// Which adapters are used and trained from now on: what they give is added up. Layers that are trained as a whole ([`Lora::train`]) are the model's, and
    /// stay as they are. Training that was compiled goes on with those. PEFT `set_adapter`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that no adapter has; [`Error::Config`] for switching off one that is [merged](Self::merge_lora).
    #[inline(never)]
    pub fn set_active_lora(&mut self, names: &[&str]) -> Result<()> {
        names.iter().try_for_each(|name| self.lora_number("set_active_lora", name).map(drop))?;
        for spec in self.graph.adapters() {
            if spec.merged && !names.contains(&spec.name.as_str()) {
                let problem = format!("the adapter {:?} is merged into the weights", spec.name);
                let hint = "unmerge_lora takes it out again".to_owned();
                return Err(Error::Config { op: "set_active_lora", problem, hint });
            }
        }
        for spec in self.graph.adapters_mut() {
            spec.active = names.contains(&spec.name.as_str());
        }
        self.refresh_adapters();
        Ok(())
    }

    /// Adds an adapter to the weights beside which it stands, W + s·A·B, so that products are as fast as without it; it is not trained until it is
    /// [taken out](Self::unmerge_lora). An adapter that is not used is used from now on. PEFT `merge_adapter`.
    ///
    /// What the model gives differs by rounding.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that no adapter has; [`Error::Config`] for one that is merged, or beside weights that are stored in blocks.
    #[inline(never)]
    pub fn merge_lora(&mut self, name: &str) -> Result<()> {
        self.move_lora("merge_lora", name, true)
    }

    /// Takes an adapter out of the weights again, W − s·A·B, which leaves them as they were but for rounding. PEFT `unmerge_adapter`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that no adapter has; [`Error::Config`] for one that is not merged.
    #[inline(never)]
    pub fn unmerge_lora(&mut self, name: &str) -> Result<()> {
        self.move_lora("unmerge_lora", name, false)
    }

    fn move_lora(&mut self, op: &'static str, name: &str, merge: bool) -> Result<()> {
        let number = self.lora_number(op, name)?;
        if self.graph.adapters()[number].merged == merge {
            let problem = format!("the adapter {name:?} is {}", if merge { "merged already" } else { "not merged" });
            return Err(Error::Config { op, problem, hint: "leave out the call".into() });
        }
        let beside = |spec: &ParamSpec| spec.adapters.iter().any(|adapter| adapter.number == number);
        if let Some(spec) = self.params.specs().iter().find(|spec| beside(spec) && spec.packed.is_some()) {
            let storage = spec.packed.as_ref().map_or(String::new(), |packed| packed.storage().to_string());
            let problem = format!("{} is stored as {storage}, to which nothing can be added exactly", spec.name);
            let hint = "keep the adapter beside the weights, or open the model without a storage".into();
            return Err(Error::Config { op, problem, hint });
        }
        for i in 0..self.params.specs().len() {
            let spec = &self.params.specs()[i];
            let Some(adapter) = spec.adapters.iter().find(|adapter| adapter.number == number).cloned() else {
                continue;
            };
            let outputs = spec.shape.last();
            let [a, b] = [adapter.a, adapter.b].map(|id| self.params.get(id).to_vec());
            adapter::merge(&adapter, [&a, &b], outputs, !merge, self.params.get_mut(ParamId(i as u32)));
        }
        let spec = &mut self.graph.adapters_mut()[number];
        (spec.merged, spec.active) = (merge, true);
        self.refresh_adapters();
        Ok(())
    }

    /// The model without adapters: those that are merged stay in the weights, the others are gone. It is not compiled. PEFT `merge_and_unload` after
    /// [`merge_lora`](Self::merge_lora), `unload` without.
    ///
    /// # Errors
    /// Those of [`Graph::build`](crate::graph::Graph::build).
    pub fn without_lora(&self) -> Result<Self> {
        let mut edit = self.edit();
        edit.graph.adapters_mut().clear();
        let outputs: Vec<_> = self.graph.output_places().iter().map(|&place| edit.graph.value_at(place)).collect();
        let names = self.net.output_names();
        edit.graph.name_outputs(names);
        let mut model = edit.build_list(&outputs, self.seed)?;
        model.recomputes = self.recomputes;
        model.beside = self.beside.clone();
        model.beside.compile = None;
        Ok(model)
    }

    /// An error where what an adapter gives would be left out of what is written.
    #[cfg(feature = "files")]
    pub(crate) fn check_merged(&self, op: &'static str) -> Result<()> {
        let Some(spec) = self.graph.adapters().iter().find(|spec| spec.active && !spec.merged) else { return Ok(()) };
        let problem = format!("the adapter {:?} is used, and has no place there", spec.name);
        let hint = "merge it first (merge_lora), write it by itself (save_adapter), or switch it off (set_active_lora)";
        Err(Error::Config { op, problem, hint: hint.into() })
    }

    fn lora_number(&self, op: &'static str, name: &str) -> Result<usize> {
        let adapters = self.graph.adapters();
        adapters.iter().position(|spec| spec.name == name).ok_or_else(|| {
            let names: Vec<&str> = adapters.iter().map(|spec| spec.name.as_str()).collect();
            let expected = match names.is_empty() {
                true => "the name of an adapter, and there is none".to_owned(),
                false => format!("the name of an adapter ({})", names.join(", ")),
            };
            Error::argument(op, "name", expected, format!("{name:?}"), "add_lora makes adapters")
        })
    }

    /// Hands what is said of adapters to weights and training.
    fn refresh_adapters(&mut self) {
        let adapters = self.graph.adapters();
        for i in 0..self.params.specs().len() {
            for k in 0..self.params.specs()[i].adapters.len() {
                let adapter = &mut self.params.specs_mut()[i].adapters[k];
                let spec = &adapters[adapter.number];
                (adapter.active, adapter.merged) = (spec.active, spec.merged);
                let (own, applies) = ([adapter.a, adapter.b], adapter.applies());
                for id in own {
                    let own = &mut self.params.specs_mut()[id.0 as usize];
                    own.trainable = applies && !own.frozen;
                }
            }
        }
        self.refresh_segments();
    }
}
