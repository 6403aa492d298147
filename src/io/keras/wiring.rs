//! The models of a file as one graph.

use super::json::Problem;
use super::parts::{Kind, Level, Part, Tensor};
use crate::graph::{Graph, Shared, Value};

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
            let x: Option<Vec<Value>> =
                entry.calls[c].iter().map(|t| values[t.entry][t.call].get(t.output).copied()).collect();
            let x = x.ok_or_else(|| format!("{at} reads what is not there"))?;
            let y = match &part.kind {
                Kind::Input(_) => continue,
                Kind::Layer(_) if part.calls > 1 => self
                    .shared(g, entry.part, &entry.name, &at, |wiring, g| wiring.layer(g, entry.part, None, &x, &at))?,
                Kind::Layer(_) => self.layer(g, entry.part, Some(&entry.name), &x, &at)?,
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
        let output = |t: &Tensor| values[t.entry][t.call].get(t.output).copied();
        level
            .outputs
            .iter()
            .map(output)
            .collect::<Option<_>>()
            .ok_or_else(|| format!("{path}: an output that is not there"))
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
        x: &[Value],
        path: &str,
    ) -> Result<Vec<Value>, Problem> {
        self.paths[part].get_or_insert_with(|| path.to_owned());
        let Kind::Layer(made) = &self.parts[part].kind else { return Err(format!("{path} is no layer")) };
        made.wire(g, name, x).map(|y| vec![y]).ok_or_else(|| format!("{path} takes one tensor"))
    }
}
