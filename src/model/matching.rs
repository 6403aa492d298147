//! Layers frozen and thawed by a pattern of their names.

use super::built::Model;
use crate::error::{Error, Result};
use crate::graph::Outline;
use crate::tensor::Float;

impl<T: Float> Model<T> {
    /// Freezes or thaws all layers and containers whose paths match a pattern, with everything inside them: `*` stands for any number of
    /// characters, slashes too, `?` for one. Gives how many layers with weights that were.
    ///
    /// A frozen [`BatchNorm`](crate::layers::BatchNorm) goes by its moving averages during training too, and keeps them: what fine-tuning
    /// needs, as batches of new data would shift what the frozen weights were trained for. Layers of noise go on. Takes effect at once, as
    /// [`set_trainable`](Self::set_trainable) does, and is saved with the model.
    ///
    /// Keras: `layer.trainable = False` in a loop over `model.layers`, and the same for batch norms; PyTorch: `requires_grad_(False)`, and
    /// `eval()` for batch norms.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let body = || Block::new().add(Dense::new(6)).add(BatchNorm::new()).add(Activation::Relu);
    /// let layers = Sequential::new([4]).add_named("body_1", body()).add_named("body_2", body());
    /// let mut model = layers.add_named("head", Dense::new(3)).build(0)?;
    /// assert_eq!(model.set_trainable_matching("body_*", false)?, 4);
    /// assert_eq!(model.summary().trainable, 6 * 3 + 3);
    /// // All but the batch norms are trained again.
    /// assert_eq!(model.set_trainable_matching("*/dense", true)?, 2);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if no layer with weights matches, with all paths.
    #[inline(never)]
    pub fn set_trainable_matching(&mut self, pattern: &str, trainable: bool) -> Result<usize> {
        let paths: Vec<char> = pattern.chars().collect();
        let mut found = Vec::new();
        collect(self.net.outline(), "", &mut Vec::new(), &mut |path, at, part| {
            let matches = glob(&paths, &path.chars().collect::<Vec<_>>());
            if matches && !part.params.is_empty() {
                let with_weights = Outline::nodes(std::slice::from_ref(part));
                let n = with_weights.iter().filter(|node| !node.params.is_empty()).count();
                found.push((at.to_vec(), part.params.clone(), n.max(1)));
            }
            // What is inside belongs to it.
            !matches
        });
        if found.is_empty() {
            let all = Outline::all(self.net.outline()).into_iter().filter(|(_, part)| !part.params.is_empty());
            let all: Vec<_> = all.map(|(path, _)| path).collect();
            let expected = format!("one that matches a layer with weights ({})", all.join(", "));
            let hint = "* stands for any characters, ? for one";
            return Err(Error::argument("set_trainable_matching", "pattern", expected, pattern, hint));
        }
        if trainable {
            found.iter().try_for_each(|(_, params, _)| self.check_thawed("set_trainable_matching", params.clone()))?;
        }
        let mut layers = 0;
        for (at, params, n) in found {
            self.settle(params, &at, trainable);
            layers += n;
        }
        self.refresh_segments();
        Ok(layers)
    }
}

/// Hands paths, positions and entries to `f`, which says whether it wants what is inside.
fn collect(parts: &[Outline], above: &str, at: &mut Vec<usize>, f: &mut impl FnMut(&str, &[usize], &Outline) -> bool) {
    for (i, (part, label)) in parts.iter().zip(Outline::labels(parts)).enumerate() {
        let path = format!("{above}{label}");
        at.push(i);
        if f(&path, at, part) {
            collect(&part.parts, &format!("{path}/"), at, f);
        }
        at.pop();
    }
}

/// Whether a text is what a pattern stands for.
pub(crate) fn glob(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and where the text went on there.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut back {
                Some((star, at)) => {
                    *at += 1;
                    (p, t) = (*star, *at);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns() {
        let glob = |pattern: &str, text: &str| {
            super::glob(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
        };
        for (pattern, text) in
            [("*", ""), ("a*b*c", "a/b/xbc"), ("block*/conv*", "block_1/conv2d"), ("?ense", "dense"), ("**d", "d")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a*b", "ac"), ("?", ""), ("dense", "dense_1"), ("*x", "xy")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(40), &"a".repeat(39)));
    }
}
