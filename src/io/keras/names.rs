//! Names of a file as places in it.

use std::collections::HashMap;

use super::attention;
use super::json::Problem;
use super::parts::{Entry, Kind, Part, Tensor};
use super::tensors::{Call, Named};

/// Finds the tensors of one model.
pub(super) struct Finder<'s, 'a> {
    pub parts: &'s [Part],
    pub entries: &'s [Entry],
    pub calls: &'s [Vec<Call<'a>>],
    pub by_name: &'s HashMap<String, usize>,
    /// The names of the models around, each with a slash behind it.
    pub path: &'s str,
}

impl Finder<'_, '_> {
    /// What an entry reads.
    pub fn all(&self, reader: usize, named: &[&Named]) -> Result<Vec<Tensor>, Problem> {
        let reader = &self.entries[reader].name;
        named.iter().map(|named| self.find(named, named.call, &format!("{}{reader} reads", self.path))).collect()
    }

    /// An input or output of the model, where calls of functional models are counted from 1.
    pub fn end(&self, named: &Named) -> Result<Tensor, Problem> {
        let what = format!("{}the model's inputs or outputs are", self.path);
        let entry = self.by_name.get(named.layer.as_ref());
        let functional = entry.is_some_and(
            |&entry| matches!(&self.parts[self.entries[entry].part].kind, Kind::Model(inner) if !inner.sequential),
        );
        match named.call.checked_sub(usize::from(functional)) {
            Some(call) => self.find(named, call, &what),
            None => Err(format!("{what} call 0 of {}, whose calls are counted from 1 here", named.layer)),
        }
    }

    fn find(&self, named: &Named, call: usize, what: &str) -> Result<Tensor, Problem> {
        let (layer, output) = (&named.layer, named.output);
        let Some(&entry) = self.by_name.get(layer.as_ref()) else {
            return Err(format!("{what} {layer:?}, a layer that is not there"));
        };
        let calls = self.calls[entry].len();
        if call >= calls {
            return Err(format!("{what} call {call} of {layer}, which has {calls}, counted from 0"));
        }
        let outputs = match &self.parts[self.entries[entry].part].kind {
            Kind::Layer(made) if attention::is_attention(&made.step) => {
                attention::outputs(&made.step, &self.calls[entry][call])
            }
            Kind::Input(_) | Kind::Layer(_) => 1,
            Kind::Model(inner) => inner.outputs.len(),
            Kind::Operation { .. } | Kind::Missing => usize::MAX,
        };
        match output < outputs {
            true => Ok(Tensor { entry, call, output }),
            false => Err(format!("{what} tensor {output} of {layer}, which gives {outputs}, counted from 0")),
        }
    }
}

/// The message of layers that read each other in a circle.
pub(super) fn circle(entries: &[Entry], circle: &[(usize, usize)]) -> Problem {
    const SHOWN: usize = 6;
    let mut names: Vec<&str> = circle.iter().take(SHOWN).map(|&(e, _)| entries[e].name.as_str()).collect();
    if circle.len() > SHOWN {
        names.push("…");
    }
    format!("layers that wait for each other in a circle: {}", names.join(", "))
}

/// The folder of a class's arrays, which is named after the class in Keras's source.
pub(super) fn folder(class: &str) -> String {
    if class == "GroupQueryAttention" { "grouped_query_attention".to_owned() } else { snake_case(class) }
}

/// The name that Keras's files give a class: `PReLU` is `p_re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (i, &c) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| letters[j]);
        let after = letters.get(i + 1);
        // A capital before small letters begins a word, and so does one after a small letter.
        let begins = c.is_ascii_uppercase()
            && before.is_some()
            && (after.is_some_and(char::is_ascii_lowercase) || before.is_some_and(|b| b.is_ascii_lowercase()));
        if begins {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_keras_has_them() {
        for (class, name) in [
            ("Dense", "dense"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ELU", "elu"),
            ("ReLU", "re_lu"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("GaussianDropout", "gaussian_dropout"),
            ("UnitNormalization", "unit_normalization"),
            ("LSTM", "lstm"),
            ("BatchNormalization", "batch_normalization"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }
}
