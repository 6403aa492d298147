//! The parts of a recipe, with what was said of each.

use super::super::{DynPart, Graph, Value};
use crate::error::Error;

/// A part that stands in a recipe.
#[derive(Clone, Debug)]
struct Entry {
    name: Option<String>,
    part: DynPart,
    trainable: bool,
    learning_rate_factor: f64,
}

/// Parts in order.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    entries: Vec<Entry>,
    /// A setting of the part added last that came before the first one.
    misplaced: Option<&'static str>,
}

impl List {
    pub fn push(&mut self, name: Option<&str>, part: DynPart) {
        self.entries.push(Entry { name: name.map(str::to_owned), part, trainable: true, learning_rate_factor: 1.0 });
    }

    pub fn trainable(&mut self, trainable: bool) {
        match self.entries.last_mut() {
            Some(last) => last.trainable = trainable,
            None => self.misplaced = Some("trainable"),
        }
    }

    pub fn learning_rate_factor(&mut self, factor: f64) {
        match self.entries.last_mut() {
            Some(last) => last.learning_rate_factor = factor,
            None => self.misplaced = Some("learning_rate_factor"),
        }
    }

    /// Each part behind the one before.
    pub fn chain(&self, g: &mut Graph, x: Value) -> Value {
        self.check(g);
        self.entries.iter().fold(x, |x, entry| entry.wire(g, x))
    }

    /// Each part behind `x`.
    pub fn branches(&self, op: &'static str, g: &mut Graph, x: Value) -> Vec<Value> {
        self.check(g);
        if self.entries.is_empty() {
            g.note(Error::argument(op, "branches", "at least 1", 0, "add some with .branch(...)"));
        }
        self.entries.iter().map(|entry| entry.wire(g, x)).collect()
    }

    fn check(&self, g: &mut Graph) {
        if let Some(setting) = self.misplaced {
            let problem = format!("{setting}(...) stands before the first layer");
            g.note(Error::Config { op: "build", problem, hint: "it speaks of the layer added last".into() });
        }
    }
}

impl Entry {
    fn wire(&self, g: &mut Graph, x: Value) -> Value {
        let y = match &self.name {
            Some(name) => g.add_named(name, self.part.clone(), x),
            None => g.add(self.part.clone(), x),
        };
        if !self.trainable {
            g.trainable(false);
        }
        if self.learning_rate_factor != 1.0 {
            g.learning_rate_factor(self.learning_rate_factor);
        }
        y
    }
}

/// The methods that add parts to a recipe and set them.
macro_rules! list_builders {
    ($add:ident, $named:ident, $what:literal) => {
        #[doc = concat!("Appends ", $what, ": a layer, or a recipe of several.")]
        #[allow(clippy::should_implement_trait)]
        pub fn $add(mut self, part: impl crate::graph::Part + Clone + std::fmt::Debug + Send + Sync + 'static) -> Self {
            self.list.push(None, crate::graph::DynPart::new(part));
            self
        }

        #[doc = concat!("Appends ", $what, " under a name of your own.")]
        pub fn $named(
            mut self,
            name: &str,
            part: impl crate::graph::Part + Clone + std::fmt::Debug + Send + Sync + 'static,
        ) -> Self {
            self.list.push(Some(name), crate::graph::DynPart::new(part));
            self
        }

        /// Whether the weights of what was added last are trained; yes by default.
        pub fn trainable(mut self, trainable: bool) -> Self {
            self.list.trainable(trainable);
            self
        }

        /// What the learning rate of what was added last is multiplied by.
        pub fn learning_rate_factor(mut self, factor: f64) -> Self {
            self.list.learning_rate_factor(factor);
            self
        }
    };
}

pub(super) use list_builders;
