//! The models of a file as one graph.

use std::collections::HashMap;

use super::json::Problem;
use super::parts::{Called, Kind, Level, Part, Read, Tensor, Under};
use crate::graph::{Graph, Shared, Value};
use crate::layers::Identity;

/// Adds models to a graph.
pub(super) struct Wiring<'r> {
    parts: &'r [Part],
    /// The scopes of what is called several times.
    scopes: Vec<Option<Shared>>,
    /// The path of each part's weights, once it is in the graph.
    pub paths: Vec<Option<String>>,
    /// How many calls there were.
    calls: usize,
}

/// The most calls, those of models that are called several times counted as often.
const MAX_CALLS: usize = 1 << 16;

impl<'r> Wiring<'r> {
    pub fn new(parts: &'r [Part]) -> Self {
        Wiring { parts, scopes: vec![None; parts.len()], paths: vec![None; parts.len()], calls: 0 }
    }

    /// Adds a model whose inputs are these; `path` is that of the scope, with a slash behind it. Gives the outputs.
    pub fn level(
        &mut self,
        g: &mut Graph,
        level: &Level,
        inputs: &[Value],
        path: &str,
        trainable: bool,
    ) -> Result<Vec<Value>, Problem> {
        let mut values: Vec<Vec<Vec<Value>>> =
            level.entries.iter().map(|entry| vec![Vec::new(); entry.calls.len()]).collect();
        let mut unmasked = HashMap::new();
        self.calls += level.entries.len();
        if self.calls > MAX_CALLS {
            let at = path.strip_suffix('/').unwrap_or("the model");
            return Err(format!("more than {MAX_CALLS} calls of layers, at {at}"));
        }
        for (&e, &input) in level.inputs.iter().zip(inputs) {
            values[e][0] = vec![input];
        }
        for &(e, c) in &level.order {
            let entry = &level.entries[e];
            let part = &self.parts[entry.part];
            let at = format!("{path}{}", entry.name);
            let called = &entry.calls[c];
            let x = called.reads.iter().map(|read| self.read(g, &values, read, &mut unmasked));
            let x = x.collect::<Option<Vec<Value>>>().ok_or_else(|| format!("{at} reads what is not there"))?;
            let y = match &part.kind {
                Kind::Input(_) => continue,
                Kind::Layer(_) if part.calls > 1 => self.shared(g, entry.part, &entry.name, &at, |wiring, g| {
                    wiring.layer(g, entry.part, None, called, &x, &at)
                })?,
                Kind::Layer(_) => self.layer(g, entry.part, Some(&entry.name), called, &x, &at)?,
                Kind::Model(inner) => {
                    let inside = |wiring: &mut Self, g: &mut Graph| wiring.level(g, inner, &x, &format!("{at}/"), true);
                    match part.calls {
                        0 | 1 => g.scope(&entry.name, |g| inside(self, g))?,
                        _ => self.shared(g, entry.part, &entry.name, &at, inside)?,
                    }
                }
                Kind::Operation { .. } | Kind::Missing => return Err(format!("{at} cannot be computed")),
            };
            if !(part.trainable && trainable) {
                g.trainable(false);
            }
            values[e][c] = y;
        }
        let outputs = level.outputs.iter().map(|read| self.read(g, &values, read, &mut unmasked));
        outputs.collect::<Option<_>>().ok_or_else(|| format!("{path}: an output that is not there"))
    }

    /// A tensor under the mask that it is read with. `unmasked` has those without theirs.
    fn read(
        &self,
        g: &mut Graph,
        values: &[Vec<Vec<Value>>],
        read: &Read,
        unmasked: &mut HashMap<Tensor, Value>,
    ) -> Option<Value> {
        let of = |t: &Tensor| values[t.entry][t.call].get(t.output).copied();
        let x = of(&read.tensor)?;
        Some(match read.under {
            Under::Own => x,
            Under::None => *unmasked.entry(read.tensor).or_insert_with(|| {
                let x = g.add_named("unmasked", Identity::new(), x);
                g.drop_mask();
                x
            }),
            Under::Of(other) => g.masked_as(x, of(&other)?),
        })
    }

    /// Adds what `f` adds in the scope of a part that is called several times.
    fn shared(
        &mut self,
        g: &mut Graph,
        part: usize,
        name: &str,
        path: &str,
        f: impl FnOnce(&mut Self, &mut Graph) -> Result<Vec<Value>, Problem>,
    ) -> Result<Vec<Value>, Problem> {
        let scope = *self.scopes[part].get_or_insert_with(|| g.place(name));
        self.paths[part].get_or_insert_with(|| path.to_owned());
        g.within(&scope, |g| f(self, g))
    }

    fn layer(
        &mut self,
        g: &mut Graph,
        part: usize,
        name: Option<&str>,
        called: &Called,
        x: &[Value],
        path: &str,
    ) -> Result<Vec<Value>, Problem> {
        self.paths[part].get_or_insert_with(|| path.to_owned());
        let Kind::Layer(made) = &self.parts[part].kind else { return Err(format!("{path} is no layer")) };
        let y = made.wire(g, name, called.step.as_ref(), x).ok_or_else(|| format!("{path} takes one tensor"))?;
        if called.drops_mask {
            g.drop_mask();
        }
        Ok(y)
    }
}
