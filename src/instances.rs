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
    Augment, IdxSource, MinMaxScaler, Source, StandardScaler, mix, one_hot, parse_idx, train_test_split,
};
#[cfg(feature = "csv")]
use crate::data::{Csv, CsvSource};
#[cfg(feature = "image")]
use crate::data::{ImageFolder, resize_image};
use crate::layer::Layer;
use crate::layers::config::layer_classes;
use crate::layers::*;
use crate::losses::*;
use crate::metrics::*;
use crate::model::{Predictor, Sequential};
use crate::optimizers::*;
use crate::tensor::Tensor;
use crate::{Activation, Loss, Metric, Optimizer};

type Model = Sequential<f32>;

/// Takes the address of every function, which is what has it compiled.
macro_rules! addresses {
    ($($function:expr),+ $(,)?) => { [$($function as *const ()),+] };
}

macro_rules! layers {
    (one { $($one:ident)+ } axes { $($axes:ident($of:ty))+ } containers { $($container:ident)+ }) => {
        addresses![
            $(<$one as Layer<f32>>::boxed,)+
            $(<$of as Layer<f32>>::boxed,)+
            $(<$container<f32> as Layer<f32>>::boxed),+
        ]
    };
}

macro_rules! boxed {
    ($kind:ident: $($name:ty),+ $(,)?) => { addresses![$(<$name as $kind<f32>>::boxed),+] };
}

/// The functions compiled here: nothing to call, the compiler has to see them used. They are returned, as what is counted alone may
/// be left out.
pub fn all() -> Vec<*const ()> {
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
        Model::add_boxed,
        Model::build,
        Model::compile_boxed,
        Model::fit,
        Model::fit_with,
        Model::fit_dataset,
        Model::train_on_batch,
        Model::gradients,
        Model::evaluate,
        Model::evaluate_dataset,
        Model::predict,
        Model::predict_classes,
        Model::predictor,
        Predictor::<f32>::predict_into,
        Model::summary,
        Model::weight,
        Model::set_weight,
        Model::set_trainable,
        Model::set_learning_rate_factor,
    ];
    let data = addresses![
        Augment::apply::<f32>,
        MinMaxScaler::fit::<f32>,
        MinMaxScaler::transform::<f32>,
        MinMaxScaler::inverse_transform::<f32>,
        Normalization::adapt::<f32>,
        StandardScaler::fit::<f32>,
        StandardScaler::transform::<f32>,
        StandardScaler::inverse_transform::<f32>,
        Tensor::<f32>::select,
        <IdxSource as Source<f32>>::read,
        mix::<f32>,
        one_hot::<f32>,
        parse_idx::<f32>,
        train_test_split::<f32>,
    ];
    let mut all: Vec<*const ()> = Vec::new();
    all.extend(layers);
    all.extend(losses);
    all.extend(optimizers);
    all.extend(metrics);
    all.extend(model);
    all.extend(data);
    #[cfg(feature = "csv")]
    all.extend(addresses![Csv::table::<f32>, Csv::open::<f32>, <CsvSource<f32> as Source<f32>>::read]);
    #[cfg(feature = "image")]
    all.extend(addresses![<ImageFolder<f32> as Source<f32>>::read, resize_image::<f32>]);
    #[cfg(feature = "tools")]
    all.extend(addresses![Model::find_learning_rate, Model::activations, Model::input_gradient]);
    #[cfg(feature = "files")]
    all.extend(addresses![Model::of_archive]);
    all
}
