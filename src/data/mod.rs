//! Tables of data: reading, splitting, scaling, one-hot coding, and two small tables to learn with.
//!
//! ```
//! use gradus::prelude::*;
//! let digits = digits();
//! let parts = train_test_split(&digits.x, &digits.y, &Split::default().test_size(0.2).stratify(true))?;
//! let scaler = StandardScaler::fit(&parts.x_train)?;
//! let (x_train, x_test) = (scaler.transform(&parts.x_train)?, scaler.transform(&parts.x_test)?);
//! assert_eq!((x_train.dims(), x_test.dims()), ([1437, 64].as_slice(), [360, 64].as_slice()));
//! # Ok::<(), gradus::Error>(())
//! ```

mod augment;
#[cfg(any(feature = "csv", feature = "text"))]
mod column;
#[cfg(feature = "csv")]
mod csv;
mod dataset;
mod digits;
mod files;
mod idle;
mod idx;
mod idx_source;
#[cfg(feature = "image")]
mod images;
mod iris;
mod min_max_scaler;
#[cfg(any(feature = "csv", feature = "image", feature = "text"))]
mod names;
#[cfg(not(feature = "image"))]
mod no_images;
mod one_hot;
mod pipeline;
mod ragged;
mod range;
mod samples;
mod scaler;
mod shard;
mod source;
mod split;
mod standard_scaler;
mod table;
#[cfg(feature = "text")]
mod text;

pub use self::augment::{Augment, Augmented, Beyond};
#[cfg(feature = "csv")]
pub use self::csv::{Csv, CsvSource};
#[cfg(any(feature = "csv", feature = "text"))]
pub use column::Column;
pub use dataset::{Batch, Dataset};
pub use digits::digits;
pub use idx::{parse_idx, read_idx};
pub use idx_source::IdxSource;
#[cfg(feature = "image")]
pub use images::{ImageFolder, read_image, resize_image, save_image};
#[cfg(all(feature = "image", feature = "files"))]
pub(crate) use images::{Resampling, read_pictures, resample};
pub use iris::iris;
pub use min_max_scaler::MinMaxScaler;
#[cfg(not(feature = "image"))]
pub use no_images::{read_image, resize_image, save_image};
pub use one_hot::one_hot;
pub use pipeline::{
    Batched, Bucketed, Map, MapKeyed, MapTo, Mixup, Part, Prefetch, Repeat, Shaped, Shuffle, Subset, Zip,
};
#[cfg(not(test))]
pub(crate) use pipeline::{Loader, by_size, mix};
pub use ragged::{Ragged, SampleTensors};
#[cfg(feature = "text")]
pub(crate) use range::check_range;
pub use samples::{FromFn, Samples};
pub use scaler::Scaler;
pub use shard::Shard;
#[cfg(feature = "text")]
pub(crate) use source::Stretch;
pub use source::{Order, Source};
#[cfg(feature = "tools")]
pub(crate) use split::number_classes;
pub use split::{Parts, Split, train_test_split};
pub use standard_scaler::StandardScaler;
pub use table::Table;
#[cfg(all(feature = "text", feature = "files"))]
pub use text::JsonLines;
#[cfg(feature = "text")]
pub use text::{
    Documents, Encoded, MaskedTokens, Packed, Packing, SequencePairs, TextFolder, TextLines, TextSample, TextTable,
    Texts, TokenFile, TokenFileWriter, TokenIds, Vectorized,
};

use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// What a scaler can work on: at least one row, features along the last axis, every value finite; of `width` features once
/// the scaler knows how many.
fn check_features<T: Float>(op: &'static str, x: &Tensor<T>, width: Option<usize>) -> Result<()> {
    if x.shape().rank() < 2 {
        let hint = "put samples along the first axis and features along the last; one feature is .reshape([n, 1])";
        return Err(Error::shape(op, "at least two axes", x.shape(), hint));
    }
    if x.is_empty() {
        return Err(Error::Empty { op, what: "x" });
    }
    if let Some(width) = width.filter(|&w| w != x.shape().last()) {
        let hint = "pass the columns that the scaler was fitted on";
        return Err(Error::shape(op, format!("{width} features"), x.shape().last(), hint));
    }
    match x.first_non_finite() {
        None => Ok(()),
        Some((row, column, value)) => Err(Error::NonFinite { op, what: "x", row, column, value: value.as_f64() }),
    }
}

/// Each value through a function of it and its feature's two numbers.
fn map_features<T: Float>(x: &Tensor<T>, a: &[f64], b: &[f64], f: impl Fn(f64, f64, f64) -> f64) -> Tensor<T> {
    let mut out = x.clone();
    for row in out.as_mut_slice().chunks_exact_mut(a.len()) {
        for ((v, &a), &b) in row.iter_mut().zip(a).zip(b) {
            *v = T::of(f(v.as_f64(), a, b));
        }
    }
    out
}

/// An error unless every feature's spread (variance, max − min) is finite.
fn check_spread(op: &'static str, name: &'static str, spread: impl Iterator<Item = f64>) -> Result<()> {
    match spread.enumerate().find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some((column, value)) => {
            let got = format!("{value} in column {column}");
            Err(Error::argument(
                op,
                name,
                "finite",
                got,
                "the values lie too far apart; divide them by a large number first",
            ))
        }
    }
}
