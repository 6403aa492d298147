//! Models of layers one after the other.

use std::collections::{HashMap, HashSet};

use super::attention;
use super::json::{Object, Problem, Raw, Settings, spelled};
use super::masks;
use super::parts::{Called, Entry, Kind, Level, Part, Place, Read, Tensor};
use super::reader::{Reader, shape_of};

impl Reader<'_> {
    /// Layers one after the other.
    pub(super) fn sequential(&mut self, layers: &[Raw], shape: Option<Raw>, place: &Place) -> Result<Level, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let (mut groups, mut names) = (HashMap::new(), HashSet::new());
        let shape = shape
            .map(|raw| shape_of(raw, true).map_err(|e| format!("{}build_input_shape={e}", place.path)))
            .transpose()?;
        for &raw in layers {
            let object = Object::read(raw)?;
            let name = match &object.name {
                Some(name) => Some(name.to_string()),
                None => Settings::read(object.config)?.text("name")?.map(|name| name.to_string()),
            };
            let name = name.ok_or_else(|| format!("{}: a layer without a name", spelled(raw)))?;
            let part = self.part(&object, &name, place, &mut groups)?;
            let is_input = matches!(self.parts[part].kind, Kind::Input(_));
            match entries.len() {
                0 if !is_input => {
                    let kind = Kind::Input(shape);
                    let input = self.push(Part {
                        class: "InputLayer".into(),
                        kind,
                        trainable: true,
                        folder: String::new(),
                        calls: 1,
                    })?;
                    entries.push(Entry { name: String::new(), part: input, calls: vec![Called::default()] });
                }
                0 => {}
                _ if is_input => return Err(format!("{}{name}: an input behind the first layer", place.path)),
                _ => {}
            }
            if !names.insert(name.clone()) {
                return Err(format!("{}{name}: two layers of this name", place.path));
            }
            if let Kind::Layer(made) = &self.parts[part].kind
                && attention::is_attention(&made.step)
            {
                let class = &object.class_name;
                self.note(format!(
                    "{}{name} ({class:.80}): it takes several tensors, and a Sequential hands it one; build the model with keras.Model(inputs, outputs)",
                    place.path
                ));
            }
            let reads = entries.len().checked_sub(1).map(|entry| Read::own(Tensor { entry, call: 0, output: 0 }));
            self.parts[part].calls += 1;
            if let (Kind::Model(inner), false) = (&self.parts[part].kind, is_input)
                && (inner.inputs.len() != 1 || inner.outputs.len() != 1)
            {
                return Err(format!("{}{name}: a model of several inputs or outputs in a Sequential", place.path));
            }
            let reads = reads.into_iter().collect();
            entries.push(Entry { name, part, calls: vec![Called { reads, ..Called::default() }] });
        }
        let last = entries.len().checked_sub(1).ok_or_else(|| format!("{}no layers", place.path))?;
        let order = (0..entries.len()).map(|entry| (entry, 0)).collect();
        let outputs = vec![Read::own(Tensor { entry: last, call: 0, output: 0 })];
        let chain: Vec<&Part> = entries.iter().map(|entry| &self.parts[entry.part]).collect();
        let (deletes, masked) = masks::left_by_chain(&chain);
        Ok(Level {
            entries,
            inputs: vec![0],
            input_keys: None,
            outputs,
            deletes,
            masked,
            output_keys: None,
            order,
            sequential: true,
            height: 1,
        })
    }
}
