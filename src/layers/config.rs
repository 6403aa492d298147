//! The configuration of any layer, as a value that serde writes and reads.

use super::{
    ActivityRegularization, AlphaDropout, Block, Dense, Dropout, Elu, Flatten, GaussianDropout, GaussianNoise,
    Identity, LeakyRelu, Normalization, PRelu, Permute, RepeatVector, Rescaling, Reshape, Residual, Softmax,
    UnitNormalization,
};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::tensor::Float;

/// What a layer is made from, without weights; [`into_layer`](Self::into_layer) makes it again.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::layers::LayerConfig;
/// let config = Layer::<f32>::config(&Dense::new(3));
/// let layer = config.into_layer::<f64>()?;
/// assert_eq!(layer.class(), "Dense");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "class", content = "config"))]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum LayerConfig {
    Activation(Activation),
    ActivityRegularization(ActivityRegularization),
    AlphaDropout(AlphaDropout),
    Block {
        layers: Vec<NamedConfig>,
    },
    Dense(Dense),
    Dropout(Dropout),
    Elu(Elu),
    Flatten(Flatten),
    GaussianDropout(GaussianDropout),
    GaussianNoise(GaussianNoise),
    Identity(Identity),
    LeakyRelu(LeakyRelu),
    Normalization(Normalization),
    PRelu(PRelu),
    Permute(Permute),
    RepeatVector(RepeatVector),
    Rescaling(Rescaling),
    Reshape(Reshape),
    Residual {
        layers: Vec<NamedConfig>,
    },
    Softmax(Softmax),
    UnitNormalization(UnitNormalization),
    /// A layer from outside this crate: its class, and its settings in a form of its own.
    Custom {
        class: String,
        settings: String,
    },
}

/// A layer inside a container: its configuration and the name it was given, if any.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NamedConfig {
    /// The name given with `add_named`.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub name: Option<String>,
    /// Whether its weights are trained.
    #[cfg_attr(feature = "serde", serde(default = "yes", skip_serializing_if = "is_yes"))]
    pub trainable: bool,
    /// What the learning rate of its weights is multiplied by.
    #[cfg_attr(feature = "serde", serde(default = "one", skip_serializing_if = "is_one"))]
    pub learning_rate_factor: f64,
    /// The layer.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub layer: LayerConfig,
}

#[cfg(feature = "serde")]
fn yes() -> bool {
    true
}

#[cfg(feature = "serde")]
fn is_yes(value: &bool) -> bool {
    *value
}

#[cfg(feature = "serde")]
fn one() -> f64 {
    1.0
}

#[cfg(feature = "serde")]
fn is_one(value: &f64) -> bool {
    *value == 1.0
}

impl LayerConfig {
    /// Makes the layer; it is not built yet.
    ///
    /// # Errors
    /// [`Error::Config`] for a [`Custom`](Self::Custom) layer, which only its own crate can make.
    pub fn into_layer<T: Float>(self) -> Result<Box<dyn Layer<T>>> {
        Ok(match self {
            LayerConfig::Activation(layer) => Box::new(layer),
            LayerConfig::ActivityRegularization(layer) => Box::new(layer),
            LayerConfig::AlphaDropout(layer) => Box::new(layer),
            LayerConfig::Block { layers } => Box::new(Block::from_config(layers)?),
            LayerConfig::Dense(layer) => Box::new(layer),
            LayerConfig::Dropout(layer) => Box::new(layer),
            LayerConfig::Elu(layer) => Box::new(layer),
            LayerConfig::Flatten(layer) => Box::new(layer),
            LayerConfig::GaussianDropout(layer) => Box::new(layer),
            LayerConfig::GaussianNoise(layer) => Box::new(layer),
            LayerConfig::Identity(layer) => Box::new(layer),
            LayerConfig::LeakyRelu(layer) => Box::new(layer),
            LayerConfig::Normalization(layer) => Box::new(layer),
            LayerConfig::PRelu(layer) => Box::new(layer),
            LayerConfig::Permute(layer) => Box::new(layer),
            LayerConfig::RepeatVector(layer) => Box::new(layer),
            LayerConfig::Rescaling(layer) => Box::new(layer),
            LayerConfig::Reshape(layer) => Box::new(layer),
            LayerConfig::Residual { layers } => Box::new(Residual::from_config(layers)?),
            LayerConfig::Softmax(layer) => Box::new(layer),
            LayerConfig::UnitNormalization(layer) => Box::new(layer),
            LayerConfig::Custom { class, .. } => {
                let problem = format!("{class} is not a layer of this crate");
                return Err(Error::Config {
                    op: "LayerConfig",
                    problem,
                    hint: "make it in your own code; gradcheck::check_custom_layer checks it".into(),
                });
            }
        })
    }
}
