//! The table that `summary()` prints.

use std::fmt;

use super::built::Model;
use crate::graph::Outline;
use crate::tensor::Float;

/// Layers, output shapes, numbers of parameters and memory of a model, to be printed.
///
/// Of a graph it also tells what each layer takes: inputs, layers and containers by name. What is shared has a row wherever it is applied
/// (`tower`, then `tower#2` with `as tower`), and its parameters count once. Outputs are marked.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Layer, output shape, parameters, and what it takes.
    rows: Vec<[String; 4]>,
    /// Whether it is one layer after the other, where what each takes need not be said.
    line: bool,
    /// All parameters.
    pub parameters: usize,
    /// Parameters that training changes.
    pub trainable: usize,
    /// Parameters that training would change, were they not frozen.
    pub frozen: usize,
    /// Bytes of the parameters.
    pub bytes: usize,
}

impl Summary {
    pub(crate) fn of<T: Float>(model: &Model<T>) -> Self {
        let specs = model.params.specs();
        let parts = model.net.outline();
        let line = is_line(model, parts);
        let (labels, sources) = (Outline::labels(parts), Sources { inputs: model.net.input_names(), parts });
        let ends = |value: Option<u32>, name: &str| match line {
            true => String::new(),
            false => marks(model, value, name),
        };
        let mut rows = Vec::new();
        for (v, (name, shape)) in (0..).zip(sources.inputs.iter().zip(model.net.input_shapes())) {
            let end = ends(Some(v), name);
            let name = if line { (*name).to_owned() } else { format!("{name} (input){end}") };
            rows.push([name, shape.of_samples(), "0".to_owned(), String::new()]);
        }
        for (part, label) in parts.iter().zip(labels) {
            let count: usize = specs.get(part.params.clone()).unwrap_or(&[]).iter().map(|s| s.shape.len()).sum();
            // Of what is shared, places after the first have another path than their own.
            let count = if part.path == label { thousands(count) } else { format!("as {}", part.path) };
            let name = format!("{label} ({}){}", part.class, ends(part.value(), &label));
            let takes: Vec<String> = part.inputs.iter().map(|v| sources.name(*v)).collect();
            rows.push([name, part.output.of_samples(), count, takes.join(", ")]);
        }
        let parameters = specs.iter().map(|s| s.shape.len()).sum();
        let packed: usize = specs.iter().filter_map(|s| s.packed.as_ref()).map(|packed| packed.byte_len()).sum();
        let bytes = model.params.len() * size_of::<T>() + packed;
        let frozen = specs.iter().filter(|s| !s.trainable && !s.state).map(|s| s.shape.len()).sum();
        Summary { rows, line, parameters, trainable: model.params.trainable_len(), frozen, bytes }
    }
}

/// Whether each layer takes what the one before gives, and nothing else.
fn is_line<T: Float>(model: &Model<T>, parts: &[Outline]) -> bool {
    let mut last = 0;
    let follows = parts.iter().filter(|part| !part.outputs.is_empty()).all(|part| {
        let from = std::mem::replace(&mut last, part.value().unwrap_or(0));
        part.inputs == [from]
    });
    follows && model.net.inputs() == 1 && model.graph.output_places() == [last]
}

/// Which outputs a value is.
fn marks<T: Float>(model: &Model<T>, value: Option<u32>, name: &str) -> String {
    let outputs = model.graph.output_places().iter().zip(model.net.output_names());
    let mark = |output: String| if output == name { " → output".to_owned() } else { format!(" → output {output}") };
    outputs.filter(|(place, _)| Some(**place) == value).map(|(_, output)| mark(output)).collect()
}

/// Names of values.
struct Sources<'a> {
    inputs: Vec<&'a str>,
    parts: &'a [Outline],
}

impl Sources<'_> {
    fn name(&self, value: u32) -> String {
        self.inputs.get(value as usize).map_or_else(|| inside(self.parts, value), |name| (*name).to_owned())
    }
}

/// What gives a value: an entry where it is the last that this gives, else what gives it inside, or its number there.
fn inside(parts: &[Outline], value: u32) -> String {
    let found = parts.iter().zip(Outline::labels(parts)).find(|(part, _)| part.outputs.contains(&value));
    match found {
        None => String::new(),
        Some((part, label)) if part.value() == Some(value) => label,
        Some((part, label)) if part.is_node() => format!("{label}[{}]", value - part.outputs.start),
        Some((part, label)) => format!("{label}/{}", inside(&part.parts, value)),
    }
}

impl<T: Float> Model<T> {
    /// A table of layers, output shapes and parameters, to be printed.
    #[inline(never)]
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }
}

/// 1234567 as "1,234,567".
pub(crate) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes in the unit that suits them.
fn memory(bytes: usize) -> String {
    match bytes {
        b if b >= 1 << 20 => format!("{:.2} MiB", b as f64 / f64::from(1 << 20)),
        b if b >= 1 << 10 => format!("{:.2} KiB", b as f64 / 1024.0),
        b => format!("{b} B"),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["layer", "output", "parameters", "connected to"].map(str::to_owned);
        let width =
            |c: usize| std::iter::once(&head).chain(&self.rows).map(|r| r[c].chars().count()).max().unwrap_or(0);
        let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
        let rule = "─".repeat(a + b + c + 4 + if self.line { 0 } else { d + 2 });
        let row = |f: &mut fmt::Formatter<'_>, [name, shape, count, takes]: &[String; 4]| {
            write!(f, "{name:a$}  {shape:b$}  {count:>c$}")?;
            if self.line || takes.is_empty() { writeln!(f) } else { writeln!(f, "  {takes}") }
        };
        row(f, &head)?;
        writeln!(f, "{rule}")?;
        self.rows.iter().try_for_each(|cells| row(f, cells))?;
        writeln!(f, "{rule}")?;
        let fixed = self.parameters - self.trainable;
        write!(f, "parameters: {} ({})", thousands(self.parameters), memory(self.bytes))?;
        write!(f, ", trainable: {}, not trainable: {}", thousands(self.trainable), thousands(fixed))?;
        if self.frozen > 0 { write!(f, " (frozen: {})", thousands(self.frozen)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Graph;
    use crate::prelude::*;

    #[test]
    fn table() {
        let model = Sequential::new([64])
            .add(Dense::new(128).activation(Activation::Relu))
            .add_named("head", Dense::new(10))
            .build(0)
            .unwrap();
        let expected = "\
layer          output    parameters
───────────────────────────────────
input          [n, 64]            0
dense (Dense)  [n, 128]       8,320
head (Dense)   [n, 10]        1,290
───────────────────────────────────
parameters: 9,610 (37.54 KiB), trainable: 9,610, not trainable: 0";
        assert_eq!(model.summary().to_string(), expected);
    }

    #[test]
    fn frozen_and_statistics() {
        let model = Sequential::new([3])
            .add(Normalization::from_stats([0.0; 3], [1.0; 3]))
            .add(Dense::new(4))
            .trainable(false)
            .add(Dense::new(2))
            .build(0)
            .unwrap();
        let expected = "\
layer                          output  parameters
─────────────────────────────────────────────────
input                          [n, 3]           0
normalization (Normalization)  [n, 3]           6
dense (Dense)                  [n, 4]          16
dense_1 (Dense)                [n, 2]          10
─────────────────────────────────────────────────
parameters: 32 (128 B), trainable: 10, not trainable: 22 (frozen: 16)";
        assert_eq!(model.summary().to_string(), expected);
    }

    #[test]
    fn graphs_tell_what_each_layer_takes() {
        let mut g = Graph::new();
        let (left, right) = (g.input("left", [FREE, 2]), g.input("right", [FREE, 2]));
        let tower = g.shared("tower", Dense::new(3));
        let (a, b) = (g.apply(&tower, left), g.apply(&tower, right));
        let [a, b] = [a, b].map(|v| g.add(GlobalAveragePooling1d::new(), v));
        let sum = g.op(crate::layers::merging::Add::new(), &[a, b, a]);
        let (inner, outer) = g.scope("pair", |g| {
            let inner = g.add(Dense::new(4), sum);
            (inner, g.add(Dense::new(1), inner))
        });
        let last = g.add_named("size", Dense::new(1), inner);
        let model = g.build([outer, last], 0).unwrap();
        let text = model.summary().to_string();
        for line in [
            "left (input)",
            "as tower  right",
            "  tower#2\n",
            "  global_average_pooling1d, global_average_pooling1d_1\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        for line in ["pair (scope) → output ", "size (Dense) → output ", "  pair/dense\n", "[n, free, 2]"] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(text.contains("parameters: 35 ("), "{text}");
        // A graph that is a line, and a line in which something is read twice.
        let mut g = Graph::new();
        let x = g.input("x", [3]);
        let h = g.add(Dense::new(3), x);
        assert!(!g.build(h, 0).unwrap().summary().to_string().contains("connected"));
    }
}
