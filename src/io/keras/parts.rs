//! What a file's models are made of.

use super::json::Problem;
use super::made::{Made, Step};
use crate::tensor::Shape;

/// A layer of the file, wherever it is called.
#[derive(Debug)]
pub(super) struct Part {
    pub class: String,
    pub kind: Kind,
    pub trainable: bool,
    /// Where its arrays lie.
    pub folder: String,
    /// How often it is called, in all models together.
    pub calls: usize,
}

impl Part {
    /// Whether it is an input, also one that cannot be had.
    pub fn is_input(&self) -> bool {
        matches!(self.kind, Kind::Input(_)) || matches!(self.kind, Kind::Missing) && self.class == "InputLayer"
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The shape of an input's samples, free where the file says None; none where it says nothing.
    Input(Option<Shape>),
    Layer(Box<Made>),
    Model(Box<Level>),
    /// An operator between tensors, before its call is read; whether Keras may have added it for masks, and what is wrong with its settings.
    Operation {
        for_masks: bool,
        settings: Result<(), Problem>,
    },
    /// What cannot be had, which is named elsewhere.
    Missing,
}

/// A tensor of a model: its layer's place in the model, the call, and which of the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tensor {
    pub entry: usize,
    pub call: usize,
    pub output: usize,
}

/// What each call of each layer of a model reads.
pub(super) type Reads = Vec<Vec<Vec<Tensor>>>;

/// The mask under which a tensor is read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Under {
    /// The one that it carries, if it does.
    #[default]
    Own,
    /// None, as what was called before has deleted it.
    None,
    /// The one that this tensor carries.
    Of(Tensor),
}

/// A tensor that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub tensor: Tensor,
    pub under: Under,
}

impl Read {
    /// Under its own mask.
    pub fn own(tensor: Tensor) -> Self {
        Read { tensor, under: Under::Own }
    }
}

/// A call of a layer.
#[derive(Debug, Default)]
pub(super) struct Called {
    pub reads: Vec<Read>,
    /// What is computed, where that depends on the call.
    pub step: Option<Step>,
    /// Whether what it gives carries no mask, though by its rule it might.
    pub drops_mask: bool,
}

/// A layer as it stands in a model.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: String,
    /// Its place among all layers of the file.
    pub part: usize,
    pub calls: Vec<Called>,
}

/// A model: the file's, or one inside.
#[derive(Debug)]
pub(super) struct Level {
    pub entries: Vec<Entry>,
    /// The entries that are inputs, in their order.
    pub inputs: Vec<usize>,
    /// The keys of inputs in a dictionary, as they stand in the file.
    pub input_keys: Option<Vec<String>>,
    pub outputs: Vec<Read>,
    /// The inputs whose masks are gone afterwards, by position, with whether that is so in predictions alone.
    pub deletes: Vec<(usize, bool)>,
    /// The outputs that may carry a mask.
    pub masked: Vec<bool>,
    /// The keys of outputs in a dictionary, sorted.
    pub output_keys: Option<Vec<String>>,
    /// The calls that outputs need, in an order in which they can be computed.
    pub order: Vec<(usize, usize)>,
    pub sequential: bool,
    /// How many models are inside one another from here on, this one included.
    pub height: usize,
}

/// Where a model stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The names of the models around it, each with a slash behind it.
    pub path: String,
    /// The folder of its arrays.
    pub folder: String,
    pub depth: usize,
}
