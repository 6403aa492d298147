//! The tensors of a folder: one file, or shards with an index; or those of a GGUF file under the names that a folder has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::read_object;
use super::pack::pack;
use super::store::{Entry, Store};
use super::table::{Layout, Row, Table};
use crate::error::{Error, Mismatch, Result};
use crate::initializers::Init;
use crate::io::Archive;
use crate::kernels::random::{Key, Purpose};
use crate::params::{Params, Reading};
use crate::tensor::{Float, Shape};

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The longest index that is read.
const MAX_INDEX: u64 = 1 << 24;

/// The most shards that are kept open.
const MAX_SHARDS: usize = 1 << 10;

/// Values that are read together.
const BLOCK: usize = 1 << 16;

/// How the names of a family's tensors vary between folders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming {
    /// What stands before the names of the model without a head, and is left out in folders of that alone.
    pub prefix: &'static str,
    /// How the names of the model without a head begin behind the prefix.
    pub roots: &'static [&'static str],
    /// How the names of buffers end, which hold nothing that is not known.
    pub buffers: &'static [&'static str],
    /// How the names of heads begin, which may be there without being asked for.
    pub heads: &'static [&'static str],
}

impl Naming {
    /// The name that a tensor has in the table.
    fn canonical(&self, name: &str, prefixed: bool) -> String {
        let mut name = match !prefixed && self.roots.iter().any(|root| name.starts_with(root)) {
            true => format!("{}{name}", self.prefix),
            false => name.to_owned(),
        };
        for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")] {
            if let Some(start) = name.strip_suffix(old) {
                name = format!("{start}{new}");
            }
        }
        name
    }
}

/// The tensors of a folder by their names.
#[derive(Debug)]
pub(super) struct Weights {
    /// What errors speak of.
    place: PathBuf,
    files: Vec<Store>,
    tensors: BTreeMap<String, Tensor>,
    /// Whether there are none on purpose, and the model keeps those that it was built with.
    drawn: bool,
}

#[derive(Clone, Debug)]
struct Tensor {
    file: usize,
    stored: Entry,
    form: Form,
}

/// How a tensor of a file differs from that of a folder; by default it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Form {
    /// `[outputs, inputs]` where the folder has `[inputs, outputs]`.
    pub transposed: bool,
    /// All queries, all keys, all values, where the folder has them head by head.
    pub grouped: bool,
    /// Rows of each head of so many as if neighbours turned together, where the folder has the two halves of a head turn together.
    pub neighbours: Option<usize>,
    /// What the file's values have more than the folder's.
    pub more: f64,
}

impl Form {
    /// How the tensor lies in the file, where the folder has this layout.
    pub fn layout(self, layout: Layout) -> Layout {
        match layout {
            Layout::AsIs if self.transposed => Layout::Transposed,
            Layout::HeadByHead(_) if self.grouped => Layout::Transposed,
            layout => layout,
        }
    }

    /// Which of so many rows of the folder row number `i` of the file is.
    fn row(self, i: usize, rows: usize) -> usize {
        let width = self.neighbours.map_or(0, |heads| rows / heads.max(1));
        if width < 2 || !width.is_multiple_of(2) {
            return i;
        }
        let (head, at) = (i / width, i % width);
        head * width + at % 2 * (width / 2) + at / 2
    }

    /// Puts so many rows of a folder into the order that they have in the file.
    pub fn order(self, rows: usize, values: &mut Vec<f32>) {
        if self.neighbours.is_none() || rows == 0 {
            return;
        }
        let (width, folder) = (values.len() / rows, std::mem::take(values));
        values.reserve_exact(folder.len());
        (0..rows).for_each(|i| values.extend_from_slice(&folder[self.row(i, rows) * width..][..width]));
    }
}

impl Weights {
    /// Opens the files of a folder; no values are read.
    pub fn open(folder: &Path, naming: &Naming) -> Result<Self> {
        let (place, files) = files(folder)?;
        let mut tensors = BTreeMap::new();
        let names = || files.iter().flat_map(|file| file.arrays()).map(|stored| stored.name.as_str());
        let prefixed = names().any(|name| name.starts_with(naming.prefix));
        for (file, archive) in files.iter().enumerate() {
            for stored in archive.arrays() {
                if naming.buffers.iter().any(|buffer| stored.name.ends_with(buffer)) {
                    continue;
                }
                let name = naming.canonical(&stored.name, prefixed);
                let tensor = Tensor { file, stored: Entry::Safetensors(stored.clone()), form: Form::default() };
                if let Some(before) = tensors.insert(name.clone(), tensor) {
                    let problem = format!("{} and {} are both {name}", before.stored.name(), stored.name);
                    return Err(Error::file(archive.path(), problem, "take one of them away"));
                }
            }
        }
        Ok(Weights { place, files: files.into_iter().map(Store::Safetensors).collect(), tensors, drawn: false })
    }

    /// The tensors of one file, each under the name that it has in a folder; none for those that are left out.
    pub fn of_file(file: Store, name: impl Fn(&str) -> Option<(String, Form)>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for stored in file.entries() {
            let Some((name, form)) = name(stored.name()) else { continue };
            let (own, place) = (stored.name().to_owned(), file.file_of(&stored));
            if let Some(before) = tensors.insert(name, Tensor { file: 0, form, stored: stored.clone() }) {
                let problem = format!("{} and {own} are one tensor", before.stored.name());
                return Err(Error::file(place, problem, "take one of them away"));
            }
        }
        Ok(Weights { place: file.path().to_owned(), files: vec![file], tensors, drawn: false })
    }

    /// No tensors: the model keeps the weights that it is built with.
    pub fn drawn(folder: &Path) -> Self {
        Weights { place: folder.to_owned(), files: Vec::new(), tensors: BTreeMap::new(), drawn: true }
    }

    /// Whether weights are drawn, and none read.
    pub fn are_drawn(&self) -> bool {
        self.drawn
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// How many values all of them have.
    pub fn values(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.stored.len()).fold(0, usize::saturating_add)
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Gives a tensor another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(tensor) = self.tensors.remove(from) {
            self.tensors.insert(to.to_owned(), tensor);
        }
    }

    /// Leaves a tensor out.
    pub fn remove(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// Leaves out the tensors of class heads.
    pub fn remove_classifier(&mut self) {
        self.tensors.retain(|name, _| !name.starts_with("classifier.") && !name.starts_with("pre_classifier."));
    }

    /// Whether two tensors have the same shape and values.
    pub fn same(&mut self, a: &str, b: &str) -> Result<bool> {
        let (Some(a), Some(b)) = (self.tensors.get(a), self.tensors.get(b)) else { return Ok(false) };
        if a.stored.shape() != b.stored.shape() || a.form != b.form {
            return Ok(false);
        }
        let (mut x, mut y) = (Vec::<f64>::new(), Vec::<f64>::new());
        for first in (0..a.stored.len()).step_by(BLOCK) {
            let count = BLOCK.min(a.stored.len() - first);
            x.resize(count, 0.0);
            y.resize(count, 0.0);
            self.files[a.file].read_part(&a.stored, first, &mut x)?;
            self.files[b.file].read_part(&b.stored, first, &mut y)?;
            if x != y {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a tensor has this shape, and each of its values lies so near to what is expected there.
    pub fn near(
        &mut self,
        name: &str,
        shape: &[usize],
        within: f64,
        mut expected: impl FnMut(usize) -> f64,
    ) -> Result<bool> {
        let Some(tensor) = self.tensors.get(name).filter(|tensor| tensor.stored.shape() == shape) else {
            return Ok(false);
        };
        let mut values = Vec::<f64>::new();
        for first in (0..tensor.stored.len()).step_by(BLOCK) {
            values.resize(BLOCK.min(tensor.stored.len() - first), 0.0);
            self.files[tensor.file].read_part(&tensor.stored, first, &mut values)?;
            if !values.iter().enumerate().all(|(i, v)| (v - expected(first + i)).abs() <= within) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads every tensor of a table straight into its parameter. What is missing, there without being asked for, or of another shape is one error. With a
    /// seed, tensors of heads may be missing, and are drawn.
    pub fn load<T: Float>(
        &mut self,
        table: &Table,
        naming: &Naming,
        params: &mut Params<T>,
        new_head: Option<u64>,
    ) -> Result<()> {
        check_known(table, params)?;
        if self.drawn {
            return Ok(());
        }
        self.settle_aliases(table)?;
        self.check(table, naming, params, new_head.is_some())?;
        for (number, Row { file, param, layout, .. }) in (0..).zip(table.rows()) {
            let Some(id) = params.find(param) else { continue };
            let is_table = params.spec(id).is_some_and(|spec| spec.reading == Reading::Table);
            let Some(tensor) = self.tensors.get(file) else {
                let shape = params.spec(id).map_or(Shape::SCALAR, |spec| spec.shape);
                let init = if shape.rank() > 1 { Init::Normal { mean: 0.0, std: 0.02 } } else { Init::Zeros };
                let mut rng = Key::new(new_head.unwrap_or(0), Purpose::Init).with(number).rng();
                init.draw(shape, &mut rng, params.get_mut(id))?;
                continue;
            };
            let form = tensor.form;
            let layout = form.layout(*layout);
            if let Some(packed) = params.packed_mut(id) {
                let file = &self.files[tensor.file];
                let [rows, columns] = match *tensor.stored.shape() {
                    [rows, columns] => [rows, columns],
                    _ => [1, tensor.stored.len()],
                };
                // Which row of the file is an output of the matrix; none where the file has inputs as rows.
                let row_of = match layout {
                    Layout::AsIs if packed.sizes() != [columns, rows] || !is_table => None,
                    layout => {
                        let mut from = vec![0; rows];
                        (0..rows).for_each(|row| from[layout.place(form.row(row, rows), rows)] = row);
                        Some(from)
                    }
                };
                pack(file, &tensor.stored, [rows, columns], row_of, packed)?;
                continue;
            }
            let (archive, out) = (&mut self.files[tensor.file], params.get_mut(id));
            let shape = tensor.stored.shape().to_vec();
            match (layout, &shape[..]) {
                (Layout::AsIs | Layout::Row, _) if form.neighbours.is_none() => {
                    archive.read_part(&tensor.stored, 0, out)?;
                }
                (_, shape) => {
                    let (rows, columns) = match shape {
                        [len] => (*len, 1),
                        _ => (
                            shape.first().copied().unwrap_or(1),
                            tensor.stored.len() / shape.first().copied().unwrap_or(1).max(1),
                        ),
                    };
                    let place = |row| layout.place(form.row(row, rows), rows);
                    let column = |input| layout.column(input, shape);
                    transposed(archive, &tensor.stored, [rows, columns], (place, column), out)?;
                }
            }
            if form.more != 0.0 {
                out.iter_mut().for_each(|v| *v -= T::of(form.more));
            }
            if let Some(at) = out.iter().position(|v| !v.is_finite()) {
                let problem = format!("{} holds {} (as {}, value {at} here)", tensor.stored.name(), out[at], T::NAME);
                let file = archive.file_of(&tensor.stored);
                return Err(Error::file(file, problem, "fetch the file again, or train the model anew"));
            }
        }
        Ok(())
    }

    /// Tensors that stand under their other name get their own; where both are there, they have to agree.
    fn settle_aliases(&mut self, table: &Table) -> Result<()> {
        for row in table.rows() {
            let Some(alias) = row.alias.as_deref().filter(|alias| self.has(alias)) else { continue };
            if !self.has(&row.file) {
                self.rename(alias, &row.file);
            } else if self.same(alias, &row.file)? {
                self.remove(alias);
            } else {
                let problem = format!("{alias} and {} are one tensor, and differ", row.file);
                let place = self.tensors.get(alias).map(|tensor| self.files[tensor.file].file_of(&tensor.stored));
                return Err(Error::file(place.unwrap_or(&self.place), problem, "take one of them away"));
            }
        }
        Ok(())
    }

    /// The name of a tensor for an error that speaks of the whole, with its file where that is another one.
    fn shown(&self, Tensor { file, stored, .. }: &Tensor) -> String {
        let file = self.files[*file].file_of(stored);
        match file.file_name().filter(|_| file != self.place) {
            Some(file) => format!("{} (in {})", stored.name(), file.display()),
            None => stored.name().to_owned(),
        }
    }

    fn check<T: Float>(&self, table: &Table, naming: &Naming, params: &Params<T>, new_head: bool) -> Result<()> {
        let of_head = |name: &str| naming.heads.iter().any(|head| name.starts_with(head));
        let mut mismatch = Mismatch::default();
        for row in table.rows() {
            let Some(spec) = params.find(&row.param).and_then(|id| params.spec(id)) else { continue };
            let Some(tensor) = self.tensors.get(&row.file) else {
                if !(new_head && of_head(&row.file)) {
                    mismatch.missing.push(row.file.clone());
                }
                continue;
            };
            self.files[tensor.file].check_floats(&tensor.stored)?;
            let expected = tensor.form.layout(row.layout).in_file(spec);
            if tensor.stored.shape() != expected {
                mismatch.shapes.push((self.shown(tensor), tensor.stored.shape().to_vec(), expected));
            }
        }
        let wanted: BTreeSet<&str> = table.rows().iter().map(|row| row.file.as_str()).collect();
        let surplus = |name: &str| !wanted.contains(name) && !of_head(name);
        let unexpected = self.tensors.iter().filter(|(name, _)| surplus(name));
        mismatch.unexpected = unexpected.map(|(_, tensor)| self.shown(tensor)).collect();
        if mismatch.is_empty() {
            return Ok(());
        }
        let (whose, hint) = match self.files[..] {
            [Store::Gguf(_)] => ("the metadata describe", "fetch the file again, or convert the model anew"),
            _ => ("config.json describes", "fetch config.json and weights of one model, or open it as what it is"),
        };
        Err(Error::file(&self.place, format!("the tensors do not fit what {whose}: {mismatch}"), hint))
    }
}

/// An error of a family's: parameters without a name in folders, or names without a parameter.
fn check_known<T: Float>(table: &Table, params: &Params<T>) -> Result<()> {
    let known: BTreeSet<&str> = table.rows().iter().map(|row| row.param.as_str()).collect();
    let unnamed = params.specs().iter().find(|spec| !known.contains(spec.name.as_str()));
    let (problem, hint) = match (unnamed, table.rows().iter().find(|row| params.find(&row.param).is_none())) {
        (Some(spec), _) => (format!("no tensor of a folder is {}", spec.name), "add it to the family's table"),
        (_, Some(row)) => (format!("the model has no {}", row.param), "take it out of the family's table"),
        (None, None) => return Ok(()),
    };
    Err(Error::Config { op: "from_pretrained", problem, hint: hint.into() })
}

/// Reads a matrix, or a convolution's kernel as one, row by row into the columns that they are, some rows at a time.
fn transposed<T: Float>(
    archive: &mut Store,
    stored: &Entry,
    [rows, columns]: [usize; 2],
    (place, column): (impl Fn(usize) -> usize, impl Fn(usize) -> usize),
    out: &mut [T],
) -> Result<()> {
    let together = (BLOCK / columns.max(1)).clamp(1, rows.max(1));
    let mut block = vec![T::zero(); together * columns];
    for first in (0..rows).step_by(together) {
        let count = together.min(rows - first);
        let block = &mut block[..count * columns];
        archive.read_part(stored, first * columns, block)?;
        for (input, out) in out.chunks_exact_mut(rows).enumerate() {
            let values = block[column(input)..].iter().step_by(columns);
            (first..first + count).zip(values).for_each(|(row, v)| out[place(row)] = *v);
        }
    }
    Ok(())
}

/// The files of a folder, and what errors speak of.
fn files(folder: &Path) -> Result<(PathBuf, Vec<Archive<'static>>)> {
    let [single, index] = [SINGLE, INDEX].map(|name| folder.join(name));
    if single.exists() {
        return Ok((single.clone(), vec![Archive::open(&single)?]));
    }
    if index.exists() {
        let files = shards(folder, &index)?;
        return Ok((index, files));
    }
    let old = ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"];
    let problem = format!("there is no {SINGLE} or {INDEX} in it");
    Err(match old.iter().find(|name| folder.join(name).exists()) {
        Some(name) => {
            let hint = "in Python: AutoModel.from_pretrained(…).save_pretrained(…, safe_serialization=True)";
            Error::file(folder, format!("{problem}, but a {name}"), hint)
        }
        None => Error::file(folder, problem, "pass the folder of a model, with config.json and weights"),
    })
}

/// The shards that an index names, which hold what it says and nothing else.
fn shards(folder: &Path, index: &Path) -> Result<Vec<Archive<'static>>> {
    let wrong = |problem: String, hint: &str| Error::file(index, problem, hint);
    let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let Some(Value::Object(names)) = read_object(index, MAX_INDEX)?.remove("weight_map") else {
        return Err(wrong("it has no weight_map".into(), "fetch the file again"));
    };
    for (tensor, file) in names {
        let plain = |file: &&str| !file.contains(['/', '\\', ':']) && file.ends_with(".safetensors");
        let Some(file) = file.as_str().filter(plain) else {
            return Err(wrong(
                format!("{tensor} is to be in {file}"),
                "a file of the folder that ends in .safetensors is expected",
            ));
        };
        map.entry(file.to_owned()).or_default().insert(tensor);
    }
    if map.is_empty() || map.len() > MAX_SHARDS {
        return Err(wrong(format!("it names {} files, expected 1 to {MAX_SHARDS}", map.len()), "fetch the file again"));
    }
    let missing: Vec<&str> = map.keys().map(String::as_str).filter(|file| !folder.join(file).is_file()).collect();
    if !missing.is_empty() {
        return Err(wrong(format!("of its files there are not: {}", missing.join(", ")), "fetch them too"));
    }
    let mut files = Vec::new();
    for (file, named) in &map {
        let archive = Archive::open(folder.join(file))?;
        let held: BTreeSet<&str> = archive.arrays().iter().map(|stored| stored.name.as_str()).collect();
        let absent: Vec<&str> = named.iter().map(String::as_str).filter(|name| !held.contains(name)).collect();
        let stale: Vec<&str> = held.into_iter().filter(|name| !named.contains(*name)).collect();
        if !absent.is_empty() || !stale.is_empty() {
            let of = |what: &str, names: &[&str]| match names.is_empty() {
                true => String::new(),
                false => format!(" {what}: {}.", names.join(", ")),
            };
            let (absent, stale) = (of("Not in it", &absent), of("In it, and not in the index", &stale));
            let problem = format!("the index and {file} are not of one model.{absent}{stale}");
            return Err(wrong(problem, "fetch index and files together"));
        }
        files.push(archive);
    }
    Ok(files)
}

/// Whether a name is one that shards have: `model-00001-of-00003.safetensors`.
pub(super) fn is_shard(name: &str) -> bool {
    let numbers = name.strip_prefix("model-").and_then(|name| name.strip_suffix(".safetensors"));
    let numbers = numbers.and_then(|numbers| numbers.split_once("-of-"));
    let digits = |text: &str| text.len() >= 5 && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(number, of)| digits(number) && digits(of))
}
