//! How layers are called in a functional model: tensors by the layer, the call and the place among its outputs.

use std::borrow::Cow;

use super::json::{Problem, Raw, Settings, list, parse, spelled, text};

/// A tensor by its name in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named<'a> {
    pub layer: Cow<'a, str>,
    pub call: usize,
    pub output: usize,
}

impl<'a> Named<'a> {
    /// `[layer, call, output]`.
    fn read(raw: Raw<'a>) -> Option<Self> {
        match list::<Raw>(raw, 3).ok()?[..] {
            [layer, call, output] => {
                Some(Named { layer: text(layer)?, call: parse(call).ok()?, output: parse(output).ok()? })
            }
            _ => None,
        }
    }
}

/// What a layer is called with.
#[derive(Clone, Debug)]
pub(super) enum Argument<'a> {
    /// A tensor, and its axes with the batch.
    Tensor(Named<'a>, Option<usize>),
    List(Vec<Argument<'a>>),
    /// In the order of the file.
    Dictionary(Vec<(Cow<'a, str>, Argument<'a>)>),
    /// Numbers, slices and the like, as they stand in the file.
    Constant(Raw<'a>),
}

/// The most lists inside one another.
const MAX_DEPTH: usize = 8;

/// The most entries of a list of arguments.
const MAX_ENTRIES: usize = 1 << 16;

impl<'a> Argument<'a> {
    fn read(raw: Raw<'a>, depth: usize) -> Result<Self, Problem> {
        if depth > MAX_DEPTH {
            return Err("lists too deep inside one another".to_owned());
        }
        match raw.get().as_bytes().first() {
            Some(b'[') => {
                let entries = list::<Raw>(raw, MAX_ENTRIES).map_err(|e| format!("{} ({e})", spelled(raw)))?;
                entries
                    .into_iter()
                    .map(|entry| Argument::read(entry, depth + 1))
                    .collect::<Result<_, _>>()
                    .map(Argument::List)
            }
            Some(b'{') => {
                let mut s = Settings::read(raw)?;
                match s.text("class_name")?.as_deref() {
                    None => {
                        let entries = s.rest().map(|(key, raw)| Ok((key, Argument::read(raw, depth + 1)?)));
                        entries.collect::<Result<_, Problem>>().map(Argument::Dictionary)
                    }
                    Some("__keras_tensor__") => {
                        let mut s = Settings::read(s.take("config").ok_or("a tensor without a config")?)?;
                        let rank = s
                            .take("shape")
                            .and_then(|shape| list::<Option<usize>>(shape, 16).ok())
                            .map(|shape| shape.len());
                        let history = s.take("keras_history");
                        let named = history.and_then(Named::read);
                        let wrong = || {
                            format!(
                                "keras_history={}, where a layer's name and two numbers are expected",
                                history.map_or("None".into(), spelled)
                            )
                        };
                        Ok(Argument::Tensor(named.ok_or_else(wrong)?, rank))
                    }
                    Some(_) => Ok(Argument::Constant(raw)),
                }
            }
            _ => Ok(Argument::Constant(raw)),
        }
    }

    /// All tensors, in the order of the file.
    fn each<'s>(&'s self, out: &mut Vec<&'s Named<'a>>) {
        match self {
            Argument::Tensor(named, _) => out.push(named),
            Argument::List(entries) => entries.iter().for_each(|entry| entry.each(out)),
            Argument::Dictionary(entries) => entries.iter().for_each(|(_, entry)| entry.each(out)),
            Argument::Constant(_) => {}
        }
    }

    /// Whether it is one of these, as JSON writes them.
    pub fn is(&self, constants: &[&str]) -> bool {
        matches!(self, Argument::Constant(raw) if constants.contains(&raw.get()))
    }
}

/// A call of a layer.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub args: Vec<Argument<'a>>,
    pub kwargs: Vec<(Cow<'a, str>, Argument<'a>)>,
}

impl<'a> Call<'a> {
    pub fn read(raw: Raw<'a>) -> Result<Self, Problem> {
        let mut s = Settings::read(raw).map_err(|_| format!("{} is no call in the form of Keras 3", spelled(raw)))?;
        let args = s.take("args").ok_or("a call without args")?;
        let kwargs = s.take("kwargs").map(Settings::read).transpose()?;
        s.finish()?;
        let args = list::<Raw>(args, MAX_ENTRIES).map_err(|e| format!("args={} ({e})", spelled(args)))?;
        Ok(Call {
            args: args.into_iter().map(|raw| Argument::read(raw, 0)).collect::<Result<_, _>>()?,
            kwargs: kwargs
                .into_iter()
                .flat_map(Settings::rest)
                .map(|(name, raw)| Ok((name, Argument::read(raw, 0)?)))
                .collect::<Result<_, Problem>>()?,
        })
    }

    /// What the layer reads: every tensor that is no mask.
    pub fn reads(&self) -> Vec<&Named<'a>> {
        let mut reads = Vec::new();
        let named = self.kwargs.iter().filter(|(name, _)| !is_mask(name)).map(|(_, argument)| argument);
        self.args.iter().chain(named).for_each(|argument| argument.each(&mut reads));
        reads
    }

    /// Every tensor, masks too, in the order in which Keras goes through them.
    pub fn tensors(&self) -> Vec<&Named<'a>> {
        let mut named: Vec<_> = self.kwargs.iter().collect();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut tensors = Vec::new();
        self.args
            .iter()
            .chain(named.into_iter().map(|(_, argument)| argument))
            .for_each(|argument| argument.each(&mut tensors));
        tensors
    }

    /// The one argument that most layers are called with.
    pub fn input(&self) -> Result<&Argument<'a>, Problem> {
        let named = |name: &str| self.kwargs.iter().find(|(other, _)| other == name).map(|(_, argument)| argument);
        for (name, argument) in &self.kwargs {
            match name.as_ref() {
                // Those of its inputs, which is looked at elsewhere.
                "mask" => {}
                // What the model is told when it trains or predicts takes the place of these.
                "training" if argument.is(&["false", "null"]) => {}
                "training" => {
                    return Err(
                        "training=True, to train or draw in predictions too; call the layer without it".to_owned()
                    );
                }
                "inputs" if self.args.is_empty() => {}
                _ => return Err(format!("it is called with {name:.80}=..., which is not known here")),
            }
        }
        match &self.args[..] {
            [one] => Ok(one),
            [] => named("inputs").ok_or_else(|| "it is called with nothing".to_owned()),
            _ => Err(format!("it is called with {} arguments, where one is expected", self.args.len())),
        }
    }
}

/// Whether an argument of this name is a mask, which layers find for themselves.
fn is_mask(name: &str) -> bool {
    matches!(name, "mask" | "query_mask" | "value_mask" | "key_mask")
}

/// What stands as inputs or outputs of a model: a tensor, or tensors in lists and dictionaries.
#[derive(Debug)]
pub(super) struct Structure<'a> {
    /// In the order in which Keras counts them: that of lists, and of sorted keys.
    pub tensors: Vec<Named<'a>>,
    /// The keys, where it is a dictionary of tensors, as they stand in the file.
    pub keys: Option<Vec<Cow<'a, str>>>,
}

impl<'a> Structure<'a> {
    pub fn read(raw: Raw<'a>) -> Result<Self, Problem> {
        let mut tensors = Vec::new();
        collect(raw, 0, &mut tensors)?;
        let entries = match raw.get().starts_with('{') {
            true => Some(Settings::read(raw)?.rest().collect::<Vec<_>>()),
            false => None,
        };
        let plain = entries.filter(|entries| entries.iter().all(|(_, raw)| Named::read(raw).is_some()));
        let keys = plain.map(|entries| entries.into_iter().map(|(key, _)| key).collect());
        Ok(Structure { keys, tensors })
    }
}

fn collect<'a>(raw: Raw<'a>, depth: usize, out: &mut Vec<Named<'a>>) -> Result<(), Problem> {
    if depth > MAX_DEPTH {
        return Err("lists too deep inside one another".to_owned());
    }
    if let Some(named) = Named::read(raw) {
        out.push(named);
        return Ok(());
    }
    if raw.get().starts_with('{') {
        let mut entries: Vec<_> = Settings::read(raw)?.rest().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        return entries.into_iter().try_for_each(|(_, raw)| collect(raw, depth + 1, out));
    }
    let entries = list::<Raw>(raw, MAX_ENTRIES).map_err(|_| format!("{}, where tensors are expected", spelled(raw)))?;
    entries.into_iter().try_for_each(|raw| collect(raw, depth + 1, out))
}

/// The tensors of an argument in the order in which Keras counts them; none where there is something else.
pub(super) fn flat<'s, 'a>(argument: &'s Argument<'a>) -> Option<Vec<(&'s Named<'a>, Option<usize>)>> {
    fn into<'s, 'a>(argument: &'s Argument<'a>, out: &mut Vec<(&'s Named<'a>, Option<usize>)>) -> Option<()> {
        match argument {
            Argument::Tensor(named, rank) => out.push((named, *rank)),
            Argument::List(entries) => entries.iter().try_for_each(|entry| into(entry, out))?,
            Argument::Dictionary(entries) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
                sorted.into_iter().try_for_each(|(_, entry)| into(entry, out))?;
            }
            Argument::Constant(_) => return None,
        }
        Some(())
    }
    let mut out = Vec::new();
    into(argument, &mut out)?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(raw: &str) -> Vec<String> {
        let raw: Raw = serde_json::from_str(raw).unwrap();
        let structure = Structure::read(raw).unwrap();
        structure.tensors.iter().map(|t| format!("{}:{}:{}", t.layer, t.call, t.output)).collect()
    }

    #[test]
    fn order_of_inputs_and_outputs() {
        assert_eq!(names(r#"["a", 0, 1]"#), ["a:0:1"]);
        assert_eq!(names(r#"[["b", 0, 0], ["a", 2, 0]]"#), ["b:0:0", "a:2:0"]);
        assert_eq!(names(r#"{"y": ["b", 0, 0], "x": [["a", 0, 0], ["a", 0, 1]]}"#), ["a:0:0", "a:0:1", "b:0:0"]);
        let deep = format!("{}[\"a\", 0, 0]{}", "[".repeat(100), "]".repeat(100));
        assert!(Structure::read(serde_json::from_str(&deep).unwrap()).is_err());
    }

    #[test]
    fn calls() {
        let tensor = |name: &str| {
            format!(
                r#"{{"class_name": "__keras_tensor__", "config": {{"shape": [null, 3], "dtype": "float32", "keras_history": ["{name}", 0, 0]}}}}"#
            )
        };
        let read = |text: &str| {
            Call::read(serde_json::from_str(text).unwrap()).map(|call| call.input().map(|_| call.reads().len()))
        };
        let (a, b) = (tensor("a"), tensor("b"));
        assert_eq!(read(&format!(r#"{{"args": [{a}], "kwargs": {{"mask": null, "training": false}}}}"#)), Ok(Ok(1)));
        assert_eq!(read(&format!(r#"{{"args": [[{a}, {b}]], "kwargs": {{}}}}"#)), Ok(Ok(2)));
        assert_eq!(read(&format!(r#"{{"args": [], "kwargs": {{"inputs": {a}}}}}"#)), Ok(Ok(1)));
        assert_eq!(read(&format!(r#"{{"args": [{a}], "kwargs": {{"mask": {b}}}}}"#)), Ok(Ok(1)));
        assert!(read(&format!(r#"{{"args": [{a}], "kwargs": {{"training": true}}}}"#)).unwrap().is_err());
        assert!(read(&format!(r#"{{"args": [{a}, {b}], "kwargs": {{}}}}"#)).unwrap().is_err());
        assert!(read(r#"[[["a", 0, 0, {}]]]"#).is_err());
    }
}
