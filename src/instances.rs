//! What programs use most, compiled for `f32` with the crate.
//!
//! Generic code is compiled where it is used: without this file every program would compile the layers' code again, and a
//! program built without optimisation would run it without. rustc (from 1.85 on) lets a program use an `#[inline(never)]`
//! function that a crate below it has compiled for the same types. So the points at which a program enters the crate are
//! `#[inline(never)]`: where a layer, loss, optimizer or metric goes into its box, the methods of the model, and what goes through
//! data value by value. Here their addresses are taken for `f32`; what they call comes with them. `f64`, and functions that a
//! program hands over (`map`, a layer of its own), are compiled by those who use them.
//!
//! It is what the compiler does, not what it promises: `.ci/compiled_once` looks at a program's symbols.

use crate::data::{
    Augment, IdxSource, Loader, MinMaxScaler, Ragged, Source, StandardScaler, by_size, mix, one_hot, parse_idx,
    train_test_split,
};
#[cfg(feature = "csv")]
use crate::data::{Csv, CsvSource};
#[cfg(feature = "image")]
use crate::data::{ImageFolder, resize_image};
#[cfg(feature = "text")]
use crate::generation::TextStream;
use crate::generation::{Generator, Stream};
use crate::graph::{Graph, Net, described, op_step};
use crate::layer::Layer;
use crate::layers::config::layer_classes;
use crate::layers::*;
use crate::losses::*;
use crate::metrics::*;
use crate::model::{Edit, Model, Predictor, Sequential};
use crate::optimizers::*;
use crate::tensor::Tensor;
#[cfg(feature = "text")]
use crate::text::{HashedNgrams, TextFront, TextSource, TextVectorization};
use crate::{Activation, Float, Loss, Metric, Optimizer};

/// Takes the address of every function, which is what has it compiled.
macro_rules! addresses {
    ($($function:expr),+ $(,)?) => { [$($function as *const ()),+] };
}

macro_rules! layers {
    (one { $($one:ident)+ } axes { $($axes:ident($of:ty))+ }) => {
        addresses![
            $(<$one as Layer<T>>::boxed,)+
            $(<$of as Layer<T>>::boxed,)+
            $(described::<f32, $one>,)+
            $(described::<f32, $of>),+
        ]
    };
}

macro_rules! boxed {
    ($kind:ident: $($name:ty),+ $(,)?) => { addresses![$(<$name as $kind<T>>::boxed),+] };
}

/// The functions compiled here: nothing to call, the compiler has to see them used. They are returned, as what is counted alone may
/// be left out.
pub fn all() -> Vec<*const ()> {
    of::<f32>()
}

/// The same for a type of numbers, in the crate that calls it: for a workspace whose programs use `f64`.
pub fn of<T: Float>() -> Vec<*const ()> {
    let layers = layer_classes!(layers);
    let losses = boxed![
        Loss: BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
        CategoricalHinge, CosineSimilarity, HalfSquaredError, Hinge, Huber, KlDivergence, LogCosh, MeanAbsoluteError,
        MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson,
        SparseCategoricalCrossentropy, SquaredHinge,
    ];
    let optimizers = boxed![
        Optimizer: Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lion, Muon, Nadam, RmsProp, Sgd,
    ];
    let metrics = boxed![
        Metric: Accuracy, Auc, BinaryAccuracy, CategoricalAccuracy, CosineScore, F1Score, Precision, R2Score, Recall,
        RootMeanSquaredError, SparseCategoricalAccuracy, TopKAccuracy, LossMetric<MeanSquaredError>,
        LossMetric<MeanAbsoluteError>,
    ];
    let model = addresses![
        Sequential::build_as::<T>,
        Sequential::build,
        Model::<T>::compile_boxed,
        Model::<T>::compile_list,
        Model::<T>::fit_tensors,
        Model::<T>::fit_dataset,
        Model::<T>::train_on_tensors,
        Model::<T>::gradients_of,
        Model::<T>::evaluate_tensors,
        Model::<T>::evaluate_dataset,
        Model::<T>::predict_tensors,
        Model::<T>::predict_list,
        Model::<T>::predict_classes,
        Model::<T>::predictor,
        Predictor::<T>::predict_into,
        Model::<T>::summary,
        Model::<T>::weight,
        Model::<T>::set_weight,
        Model::<T>::set_trainable,
        Model::<T>::set_trainable_matching,
        Model::<T>::part_of,
        Edit::<'static, T>::build_list,
        Model::<T>::set_learning_rate_factor,
    ];
    let graph = addresses![
        Graph::build_net::<T>,
        Net::<T>::plan,
        Net::<T>::forward,
        Net::<T>::backward,
        OptimizerState::<T>::step,
        op_step::<merging::Add>,
        op_step::<merging::Average>,
        op_step::<merging::Concatenate>,
        op_step::<merging::Dot>,
        op_step::<merging::Maximum>,
        op_step::<merging::Minimum>,
        op_step::<merging::Multiply>,
        op_step::<merging::Subtract>,
        op_step::<operators::Divide>,
        op_step::<operators::Power>,
        op_step::<positions::PositionEmbedding>,
        op_step::<positions::RotaryPositions>,
        op_step::<positions::SinusoidalPositions>,
    ];
    let data = addresses![
        Augment::apply::<T>,
        MinMaxScaler::fit::<T>,
        MinMaxScaler::transform::<T>,
        MinMaxScaler::inverse_transform::<T>,
        Normalization::adapt::<T>,
        StandardScaler::fit::<T>,
        StandardScaler::transform::<T>,
        StandardScaler::inverse_transform::<T>,
        Tensor::<T>::select,
        <IdxSource as Source<T>>::read,
        <Ragged<T> as Source<T>>::read,
        by_size::<T>,
        Loader::<T>::load,
        Loader::<T>::parts,
        mix::<T>,
        one_hot::<T>,
        parse_idx::<T>,
        train_test_split::<T>,
    ];
    let mut all: Vec<*const ()> = Vec::new();
    all.extend(layers);
    all.extend(losses);
    all.extend(optimizers);
    all.extend(metrics);
    all.extend(model);
    all.extend(graph);
    all.extend(data);
    all.extend(addresses![Generator::<T>::generate_rows, Generator::<T>::stream_rows, <Stream<T> as Iterator>::next]);
    #[cfg(feature = "csv")]
    all.extend(addresses![Csv::table::<T>, Csv::open::<T>, <CsvSource<T> as Source<T>>::read]);
    #[cfg(feature = "image")]
    all.extend(addresses![<ImageFolder<T> as Source<T>>::read, resize_image::<T>]);
    #[cfg(feature = "text")]
    all.extend(addresses![
        HashedNgrams::transform_texts::<T>,
        TextFront::transform_texts::<T>,
        TextVectorization::transform_texts::<T>,
        TextSource::<T>::of,
        <TextSource<T> as Source<T>>::read,
        Model::<T>::set_front,
        Model::<T>::predict_front,
        Generator::<T>::stream_text,
        Generator::<T>::generate_text,
        Generator::<T>::stream_text_of,
        Generator::<T>::generate_text_of,
        <TextStream<T> as Iterator>::next,
    ]);
    #[cfg(feature = "tools")]
    all.extend(addresses![
        Model::<T>::find_learning_rate,
        Model::<T>::activations_of,
        Model::<T>::outputs_of_list,
        Model::<T>::input_gradient,
    ]);
    #[cfg(feature = "files")]
    all.extend(addresses![Model::<T>::of_archive, Model::<T>::copy_weights]);
    all
}
