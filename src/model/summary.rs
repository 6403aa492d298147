//! The table that `summary()` prints.

use std::fmt;

use super::built::Model;
use crate::tensor::Float;

/// Layers, output shapes, numbers of parameters and memory of a model, to be printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    rows: Vec<[String; 3]>,
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
        let mut rows = vec![["input".to_owned(), model.input.of_samples(), "0".to_owned()]];
        for part in model.net.outline() {
            let count: usize = specs.get(part.params.clone()).unwrap_or(&[]).iter().map(|s| s.range.len()).sum();
            rows.push([format!("{} ({})", part.name, part.class), part.output.of_samples(), thousands(count)]);
        }
        let parameters = model.params.len();
        let bytes = parameters * size_of::<T>();
        let frozen = specs.iter().filter(|s| s.frozen && !s.state).map(|s| s.range.len()).sum();
        Summary { rows, parameters, trainable: model.params.trainable_len(), frozen, bytes }
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
        let head = ["layer".to_owned(), "output".to_owned(), "parameters".to_owned()];
        let width =
            |c: usize| std::iter::once(&head).chain(&self.rows).map(|r| r[c].chars().count()).max().unwrap_or(0);
        let [a, b, c] = [width(0), width(1), width(2)];
        let rule = "─".repeat(a + b + c + 4);
        writeln!(f, "{:a$}  {:b$}  {:>c$}", head[0], head[1], head[2])?;
        writeln!(f, "{rule}")?;
        for [name, shape, count] in &self.rows {
            writeln!(f, "{name:a$}  {shape:b$}  {count:>c$}")?;
        }
        writeln!(f, "{rule}")?;
        let fixed = self.parameters - self.trainable;
        write!(f, "parameters: {} ({})", thousands(self.parameters), memory(self.bytes))?;
        write!(f, ", trainable: {}, not trainable: {}", thousands(self.trainable), thousands(fixed))?;
        if self.frozen > 0 { write!(f, " (frozen: {})", thousands(self.frozen)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
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
}
