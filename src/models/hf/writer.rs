//! Weights written as transformers opens them.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value};

use super::config::write_json;
use super::table::{Layout, Row, Table};
use super::weights::{INDEX, SINGLE, is_shard};
use crate::error::{Error, Result};
use crate::io::{atomic, bytes};
use crate::params::{ParamSpec, Params};
use crate::tensor::Float;

/// Values that are put in order together.
const BLOCK: usize = 1 << 16;

/// A tensor that is written.
struct Written<'a> {
    row: &'a Row,
    spec: &'a ParamSpec,
}

/// Writes all tensors of a table into a folder: one file, or shards of at most so many bytes each (a larger tensor has one of its own) and their index. What
/// stands there of another model's weights is removed.
pub(super) fn write<T: Float>(folder: &Path, table: &Table, params: &Params<T>, most: u64) -> Result<()> {
    let mut shards: Vec<(u64, Vec<Written<'_>>)> = Vec::new();
    for row in table.rows() {
        let Some(spec) = params.find(&row.param).and_then(|id| params.spec(id)) else {
            let (problem, hint) =
                (format!("the model has no {}", row.param), "save it as gradus's own file, with Model::save");
            return Err(Error::Config { op: "save_pretrained", problem, hint: hint.into() });
        };
        let size = (spec.range.len() * size_of::<T>()) as u64;
        match shards.last_mut().filter(|(before, _)| before.saturating_add(size) <= most) {
            Some((before, shard)) => {
                *before += size;
                shard.push(Written { row, spec });
            }
            None => shards.push((size, vec![Written { row, spec }])),
        }
    }
    let count = shards.len();
    if count <= 1 {
        shards.iter().try_for_each(|(_, shard)| file(&folder.join(SINGLE), shard, params))?;
        return remove_others(folder, &[SINGLE.to_owned()]);
    }
    let (mut names, mut map) = (vec![INDEX.to_owned()], Map::new());
    for (number, (_, shard)) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
        file(&folder.join(&name), shard, params)?;
        map.extend(shard.iter().map(|written| (written.row.file.clone(), Value::from(name.as_str()))));
        names.push(name);
    }
    let total: u64 = shards.iter().map(|(size, _)| size).sum();
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    write_json(&folder.join(INDEX), &index)?;
    remove_others(folder, &names)
}

/// Removes weights of another division, which would be opened in the place of these.
fn remove_others(folder: &Path, keep: &[String]) -> Result<()> {
    let failed = |source| Error::Write { file: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name == SINGLE || name == INDEX || is_shard(&name)) && !keep.contains(&name) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// One file, whole or not at all.
fn file<T: Float>(path: &Path, tensors: &[Written<'_>], params: &Params<T>) -> Result<()> {
    let mut header = String::from("{\"__metadata__\":{\"format\":\"pt\"}");
    let mut start = 0;
    for Written { row, spec } in tensors {
        let end = start + spec.range.len() * size_of::<T>();
        let (name, shape) = (Value::from(row.file.as_str()), row.layout.in_file(spec));
        let dtype = T::NAME.to_uppercase();
        header += &format!(",{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}");
        start = end;
    }
    header.push('}');
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    atomic::replace(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        tensors.iter().try_for_each(|Written { row, spec }| tensor(row.layout, spec, params, out))
    })
}

fn tensor<T: Float>(layout: Layout, spec: &ParamSpec, params: &Params<T>, out: &mut impl Write) -> io::Result<()> {
    in_file(layout, spec, &params.values()[spec.range.clone()], |values| bytes(T::values(values), out))
}

/// Hands over values of a parameter in the order in which they stand in a file, some at a time.
pub(super) fn in_file<T: Float>(
    layout: Layout,
    spec: &ParamSpec,
    values: &[T],
    mut each: impl FnMut(&[T]) -> io::Result<()>,
) -> io::Result<()> {
    let (inputs, outputs) = match *spec.shape.dims() {
        _ if matches!(layout, Layout::AsIs | Layout::Row) => return each(values),
        [.., outputs] if spec.shape.rank() > 1 => (values.len() / outputs.max(1), outputs),
        _ => (1, values.len()),
    };
    let shape = layout.in_file(spec);
    let together = (BLOCK / inputs.max(1)).clamp(1, outputs.max(1));
    let mut block = vec![T::zero(); together * inputs];
    for first in (0..outputs).step_by(together) {
        let count = together.min(outputs - first);
        for (output, row) in (first..first + count).zip(block.chunks_exact_mut(inputs.max(1))) {
            let values = values[layout.place(output, outputs)..].iter().step_by(outputs);
            values.enumerate().for_each(|(input, v)| row[layout.column(input, &shape)] = *v);
        }
        each(&block[..count * inputs])?;
    }
    Ok(())
}
