//! Matrices of a file straight into the panels that products read, on all threads.

use super::store::{Entry, Store};
use crate::error::{Error, Result};
use crate::io::GgufKind;
use crate::kernels::bounds::within;
use crate::kernels::packed::{Packed, WeightStorage};

/// Fills a matrix from a tensor of so many rows and columns: `row_of` says which row of the file is an output of the matrix, none where rows are inputs.
///
/// # Errors
/// [`Error::Io`] for what cannot be read, [`Error::File`] for values that are not finite, with the tensor's name.
pub(super) fn pack(
    file: &Store,
    entry: &Entry,
    [rows, columns]: [usize; 2],
    row_of: Option<Vec<usize>>,
    packed: &mut Packed,
) -> Result<()> {
    let infinite = || {
        let problem = format!("{} holds NaN or infinity", entry.name());
        Error::file(file.file_of(entry), problem, "fetch the file again, or train the model anew")
    };
    let Some(kind) = file.kind(entry) else { return Err(infinite()) };
    let (each, bytes) = kind.block();
    let row_bytes = columns / each * bytes;
    let read = |row: usize, values: &mut [f32]| {
        let mut block = vec![0; row_bytes];
        file.bytes_at(entry, row * row_bytes, &mut block)?;
        kind.decode(&block, values);
        if within(values, f32::MAX) { Ok(()) } else { Err(infinite()) }
    };
    let Some(row_of) = row_of else {
        // Rows of the file are inputs: a matrix of which parts would be read again and again is read as a whole.
        let mut whole = vec![0f32; rows * columns];
        whole.chunks_exact_mut(columns.max(1)).enumerate().try_for_each(|(i, row)| read(i, row))?;
        return packed.fill(|output, row| {
            row.iter_mut().zip(whole[output..].iter().step_by(columns)).for_each(|(v, from)| *v = *from);
            Ok(())
        });
    };
    match (kind, packed.storage()) {
        (GgufKind::Bf16, WeightStorage::Bf16) => packed.fill_words(|first, words| {
            let outputs = &row_of[first..first + words.len() / row_bytes.max(1)];
            if outputs.windows(2).all(|pair| pair[1] == pair[0] + 1) {
                file.bytes_at(entry, outputs[0] * row_bytes, words)?;
            } else {
                let mut rows = words.chunks_exact_mut(row_bytes).zip(outputs);
                rows.try_for_each(|(words, row)| file.bytes_at(entry, row * row_bytes, words))?;
            }
            // An exponent of ones.
            let words = words.as_chunks::<2>().0.iter();
            let largest = words.fold(0, |largest, word| largest.max(u16::from_le_bytes(*word) & 0x7F80));
            if largest == 0x7F80 {
                return Err(infinite());
            }
            Ok(())
        }),
        (GgufKind::Blocks(of_file), storage) if storage.blocks() == Some(of_file) => {
            packed.fill_blocks(|output, blocks| {
                file.bytes_at(entry, row_of[output] * row_bytes, blocks)?;
                // A block begins with its scale in half precision.
                let is_finite = |block: &[u8]| block[1] & 0x7C != 0x7C;
                if blocks.chunks_exact(bytes).all(is_finite) { Ok(()) } else { Err(infinite()) }
            })
        }
        _ => packed.fill(|output, values| read(row_of[output], values)),
    }
}
