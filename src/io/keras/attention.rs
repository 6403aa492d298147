//! Keras's attention layers: their settings, and what each call says.

use super::json::{Problem, Settings};
use super::made::{Inner, Made, Step};
use super::merging::Join;
use super::parts::Called;
use super::settings::{initializer, set};
use super::tensors::{Argument, Call, Named};
use crate::layers::{AdditiveAttention, Attention, MultiHeadAttention};

/// What `MultiHeadAttention` and `GroupQueryAttention` are called with, in Keras's order.
const MULTI_HEAD: [&str; 10] = [
    "query",
    "value",
    "key",
    "query_mask",
    "value_mask",
    "key_mask",
    "attention_mask",
    "return_attention_scores",
    "training",
    "use_causal_mask",
];

/// What `Attention` and `AdditiveAttention` are called with.
const OF_A_LIST: [&str; 5] = ["inputs", "mask", "training", "return_attention_scores", "use_causal_mask"];

/// Whether a class deletes the masks of the tensors that it is called with.
pub(super) fn deletes_masks(class: &str) -> bool {
    class == "MultiHeadAttention"
}

/// The layer of a class of this family; none for another.
pub(super) fn layer(class: &str, s: &mut Settings) -> Result<Option<Made>, Problem> {
    Ok(Some(match class {
        "MultiHeadAttention" => {
            let (heads, key_dim) = (s.needed_size("num_heads")?, s.needed_size("key_dim")?);
            attention_axes(s)?;
            let layer = MultiHeadAttention::new(heads, key_dim);
            let layer = set(layer, s.size("value_dim")?, MultiHeadAttention::value_dim);
            let layer = set(layer, output_shape(s)?, MultiHeadAttention::output_dim);
            multi_head(s, layer, [heads, heads], ["query_dense", "key_dense", "value_dense", "output_dense"])?
        }
        "GroupQueryAttention" | "GroupedQueryAttention" => {
            let (heads, dim) = (s.needed_size("num_query_heads")?, s.needed_size("head_dim")?);
            let key_heads = s.needed_size("num_key_value_heads")?;
            let layer = MultiHeadAttention::new(heads, dim).key_heads(key_heads);
            let folders = ["_query_dense", "_key_dense", "_value_dense", "_output_dense"];
            multi_head(s, layer, [heads, key_heads], folders)?
        }
        "Attention" => {
            s.skip(&["seed"]);
            let use_scale = s.flag_or("use_scale", false)?;
            let concat = match s.text("score_mode")?.as_deref() {
                None | Some("dot") => false,
                Some("concat") => true,
                Some(other) => return Err(format!("score_mode=\"{other:.40}\": no such scores")),
            };
            let layer = Attention::new().use_scale(use_scale).concat(concat).dropout(s.number_or("dropout", 0.0)?);
            let weights = [("scale", use_scale), ("concat_score_weight", concat)];
            let weights = weights.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
            Made { weights, ..Made::of(Step::Join(Join::Attention(layer))) }
        }
        "AdditiveAttention" => {
            s.skip(&["seed"]);
            let use_scale = s.flag_or("use_scale", true)?;
            let layer = AdditiveAttention::new().use_scale(use_scale).dropout(s.number_or("dropout", 0.0)?);
            let weights = if use_scale { vec!["scale"] } else { Vec::new() };
            Made { weights, ..Made::of(Step::Join(Join::AdditiveAttention(layer))) }
        }
        _ => return Ok(None),
    }))
}

/// What both classes of several heads have in common. Heads are an axis of Keras's kernels, and stand side by side here.
fn multi_head(
    s: &mut Settings,
    layer: MultiHeadAttention,
    heads: [usize; 2],
    folders: [&'static str; 4],
) -> Result<Made, Problem> {
    // How it is computed, and draws, which follow from the seed of the model; biases come from the file.
    s.skip(&["seed", "flash_attention", "bias_initializer"]);
    let gate = "the gate is not built; build the layer with use_gate=False and train it anew";
    s.only("use_gate", "false", gate)?;
    let each = "a penalty or bound on the projections cannot be had; what it computes does not depend on it: build the layer without and give it the \
                same weights: new.set_weights(layer.get_weights())";
    for name in
        ["kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint"]
    {
        s.only(name, "null", each)?;
    }
    let use_bias = s.flag_or("use_bias", true)?;
    let layer = layer.use_bias(use_bias).dropout(s.number_or("dropout", 0.0)?).window(s.size("sliding_window")?);
    let layer = set(layer, initializer(s, "kernel_initializer"), MultiHeadAttention::kernel_initializer);
    let names = [
        ["query/kernel", "query/bias"],
        ["key/kernel", "key/bias"],
        ["value/kernel", "value/bias"],
        ["attention_output/kernel", "attention_output/bias"],
    ];
    let mut inner = Vec::new();
    for (i, ([kernel, bias], folder)) in names.into_iter().zip(folders).enumerate() {
        let heads = heads[usize::from(i == 1 || i == 2)];
        let (of_kernel, of_bias) = if i < 3 { ((1, heads), Some((0, heads))) } else { ((0, heads), None) };
        inner.push(Inner { name: kernel, folder, array: 0, heads: Some(of_kernel) });
        if use_bias {
            inner.push(Inner { name: bias, folder, array: 1, heads: of_bias });
        }
    }
    Ok(Made { inner, ..Made::of(Step::Join(Join::MultiHeadAttention(Box::new(layer)))) })
}

/// The axes that attention goes along, which is that of steps alone.
fn attention_axes(s: &mut Settings) -> Result<(), Problem> {
    match s.integers("attention_axes")?.as_deref() {
        None | Some([1 | -2]) => Ok(()),
        Some(axes) => Err(format!(
            "attention_axes={axes:?}: steps attend along axis 1 of [batch, steps, features]; bring the axes together with keras.layers.Permute and \
             keras.layers.Reshape"
        )),
    }
}

/// The features of the output, where they are others than the query's.
fn output_shape(s: &mut Settings) -> Result<Option<usize>, Problem> {
    match s.integers("output_shape")?.as_deref() {
        None | Some([]) => Ok(None),
        Some(&[features]) if features > 0 => Ok(Some(features as usize)),
        Some(sizes) => Err(format!(
            "output_shape={sizes:?}: one axis of features can be had; give their product, and keras.layers.Reshape behind the layer"
        )),
    }
}

/// Whether it is one of this family.
pub(super) fn is_attention(step: &Step) -> bool {
    matches!(step, Step::Join(Join::Attention(_) | Join::AdditiveAttention(_) | Join::MultiHeadAttention(_)))
}

/// How many of the tensors of a call are query, value and key.
pub(super) fn values(called: &Called) -> usize {
    match &called.step {
        Some(Step::Join(Join::MultiHeadAttention(layer))) => layer.values(called.reads.len()),
        _ => called.reads.len(),
    }
}

/// Masks that are named, by the places of the tensors that they belong to.
type OfTensors<'s, 'a> = Vec<(usize, &'s Argument<'a>)>;

/// What a call hands over, and what it computes.
pub(super) struct Asked<'s, 'a> {
    pub tensors: Vec<&'s Named<'a>>,
    pub step: Step,
    pub masks: OfTensors<'s, 'a>,
}

/// How many tensors a call gives.
pub(super) fn outputs(step: &Step, call: &Call) -> usize {
    let names = names(step);
    let at = names.iter().position(|name| *name == "return_attention_scores");
    let positional = at.and_then(|at| call.args.get(at));
    let named = call.kwargs.iter().find(|(name, _)| name == "return_attention_scores").map(|(_, argument)| argument);
    1 + usize::from(positional.or(named).is_some_and(|argument| argument.is(&["true"])))
}

fn names(step: &Step) -> &'static [&'static str] {
    if matches!(step, Step::Join(Join::MultiHeadAttention(_))) { &MULTI_HEAD } else { &OF_A_LIST }
}

/// Reads a call.
pub(super) fn asked<'s, 'a>(step: &Step, call: &'s Call<'a>) -> Result<Asked<'s, 'a>, Problem> {
    let mut given = Given::of(names(step), call)?;
    let (causal, scores) = (given.flag("use_causal_mask")?, given.flag("return_attention_scores")?);
    if given.flag("training")? {
        return Err("training=True, to drop in predictions too; call the layer without it".to_owned());
    }
    let (mut tensors, mut masks) = (Vec::new(), Vec::new());
    let step = match step {
        Step::Join(Join::MultiHeadAttention(layer)) => {
            let needed = |tensor: Option<&'s Named<'a>>, name: &str| {
                tensor.ok_or_else(|| format!("it is called without a {name}"))
            };
            let query = needed(given.tensor("query")?, "query")?;
            let value = needed(given.tensor("value")?, "value")?;
            let key = given.tensor("key")?;
            let named = ["query_mask", "value_mask", "key_mask"].map(|name| given.take(name));
            tensors.extend([query, value]);
            if named[2].is_some() || key.is_some_and(|key| key != value) {
                tensors.push(key.unwrap_or(value));
            }
            // One value that attends to itself.
            if named.iter().all(Option::is_none) && tensors.iter().all(|tensor| *tensor == query) {
                tensors.truncate(1);
            }
            masks.extend(named.into_iter().enumerate().filter_map(|(at, mask)| Some((at, mask?))));
            let mask = given.tensor("attention_mask")?;
            tensors.extend(mask);
            let layer = (**layer).clone().causal(causal).return_scores(scores).mask(mask.is_some());
            Join::MultiHeadAttention(Box::new(layer))
        }
        Step::Join(Join::Attention(layer)) => {
            (tensors, masks) = given.list()?;
            Join::Attention(layer.clone().causal(causal).return_scores(scores))
        }
        Step::Join(Join::AdditiveAttention(layer)) => {
            (tensors, masks) = given.list()?;
            Join::AdditiveAttention(layer.clone().causal(causal).return_scores(scores))
        }
        _ => return Err("it is no attention".to_owned()),
    };
    given.finish()?;
    Ok(Asked { tensors, step: Step::Join(step), masks })
}

/// Arguments by name, without those that are None.
struct Given<'s, 'a>(Vec<(&'s str, &'s Argument<'a>)>);

impl<'s, 'a> Given<'s, 'a> {
    fn of(names: &'static [&'static str], call: &'s Call<'a>) -> Result<Self, Problem> {
        if call.args.len() > names.len() {
            return Err(format!("it is called with {} arguments, where {} are known", call.args.len(), names.len()));
        }
        let mut all: Vec<(&str, &Argument)> = names.iter().copied().zip(&call.args).collect();
        for (name, argument) in &call.kwargs {
            if !names.contains(&name.as_ref()) {
                return Err(format!("it is called with {name:.80}=..., which is not known here"));
            }
            if all.iter().any(|(other, _)| other == name) {
                return Err(format!("it is called with {name} twice"));
            }
            all.push((name, argument));
        }
        all.retain(|(_, argument)| !argument.is(&["null"]));
        Ok(Given(all))
    }

    fn take(&mut self, name: &str) -> Option<&'s Argument<'a>> {
        let at = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.remove(at).1)
    }

    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(false),
            Some(argument) if argument.is(&["true", "1"]) => Ok(true),
            Some(argument) if argument.is(&["false", "0"]) => Ok(false),
            Some(_) => Err(format!("it is called with {name}=..., where True or False is expected")),
        }
    }

    fn tensor(&mut self, name: &str) -> Result<Option<&'s Named<'a>>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Argument::Tensor(named, _)) => Ok(Some(named)),
            Some(_) => Err(format!(
                "it is called with something else than a tensor for {name}; numbers that are always the same can be another Input"
            )),
        }
    }

    /// Query, value and perhaps key in a list, and their masks in another.
    fn list(&mut self) -> Result<(Vec<&'s Named<'a>>, OfTensors<'s, 'a>), Problem> {
        let Some(Argument::List(entries)) = self.take("inputs") else {
            return Err("it is called with something else than a list of tensors".to_owned());
        };
        let tensors = entries.iter().map(|entry| match entry {
            Argument::Tensor(named, _) => Ok(named),
            _ => Err("it is called with something else than a list of tensors".to_owned()),
        });
        let mut tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        if !(2..=3).contains(&tensors.len()) {
            return Err(format!(
                "it is called with {} tensors, where query, value and perhaps a key are expected",
                tensors.len()
            ));
        }
        // The values are the keys where there are no others.
        if let [_, value, key] = tensors[..]
            && value == key
        {
            tensors.truncate(2);
        }
        let masks = match self.take("mask") {
            None => Vec::new(),
            // Keys have no mask of their own.
            Some(Argument::List(masks)) if (2..=3).contains(&masks.len()) => masks.iter().take(2).enumerate().collect(),
            Some(_) => return Err("it is called with a mask that is no list of two".to_owned()),
        };
        Ok((tensors, masks))
    }

    fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("it is called with {name}=..., which is not known here")),
        }
    }
}
