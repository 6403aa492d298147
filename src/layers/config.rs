//! The configuration of any layer, as a value that serde writes and reads.

use super::{
    ActivityRegularization, Add, AlphaDropout, AveragePooling, BatchNorm, Block, Concatenate, Conv, ConvTranspose,
    Cropping, Dense, DepthwiseConv, Dropout, Elu, Flatten, GaussianDropout, GaussianNoise, GlobalAveragePooling,
    GlobalMaxPooling, GroupNorm, Identity, LayerNorm, LeakyRelu, MaxPooling, Multiply, Normalization, PRelu, Permute,
    RepeatVector, Rescaling, Reshape, Residual, RmsNorm, SeparableConv, Softmax, SpatialDropout, UnitNormalization,
    UpSampling, ZeroPadding,
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
    Add {
        layers: Vec<NamedConfig>,
        /// What is applied to the sum.
        #[cfg_attr(feature = "serde", serde(default))]
        activation: Activation,
    },
    AlphaDropout(AlphaDropout),
    AveragePooling1d(AveragePooling<1>),
    AveragePooling2d(AveragePooling<2>),
    BatchNorm(BatchNorm),
    Block {
        layers: Vec<NamedConfig>,
    },
    Concatenate {
        layers: Vec<NamedConfig>,
    },
    Conv1d(Conv<1>),
    Conv1dTranspose(ConvTranspose<1>),
    Conv2d(Conv<2>),
    Conv2dTranspose(ConvTranspose<2>),
    Cropping1d(Cropping<1>),
    Cropping2d(Cropping<2>),
    Dense(Dense),
    DepthwiseConv1d(DepthwiseConv<1>),
    DepthwiseConv2d(DepthwiseConv<2>),
    Dropout(Dropout),
    Elu(Elu),
    Flatten(Flatten),
    GaussianDropout(GaussianDropout),
    GaussianNoise(GaussianNoise),
    GlobalAveragePooling1d(GlobalAveragePooling<1>),
    GlobalAveragePooling2d(GlobalAveragePooling<2>),
    GlobalMaxPooling1d(GlobalMaxPooling<1>),
    GlobalMaxPooling2d(GlobalMaxPooling<2>),
    GroupNorm(GroupNorm),
    Identity(Identity),
    LayerNorm(LayerNorm),
    LeakyRelu(LeakyRelu),
    MaxPooling1d(MaxPooling<1>),
    MaxPooling2d(MaxPooling<2>),
    Multiply {
        layers: Vec<NamedConfig>,
    },
    Normalization(Normalization),
    PRelu(PRelu),
    Permute(Permute),
    RepeatVector(RepeatVector),
    Rescaling(Rescaling),
    Reshape(Reshape),
    Residual {
        layers: Vec<NamedConfig>,
        /// What is applied to the sum.
        #[cfg_attr(feature = "serde", serde(default))]
        activation: Activation,
    },
    RmsNorm(RmsNorm),
    SeparableConv1d(SeparableConv<1>),
    SeparableConv2d(SeparableConv<2>),
    Softmax(Softmax),
    SpatialDropout1d(SpatialDropout<1>),
    SpatialDropout2d(SpatialDropout<2>),
    UnitNormalization(UnitNormalization),
    UpSampling1d(UpSampling<1>),
    UpSampling2d(UpSampling<2>),
    ZeroPadding1d(ZeroPadding<1>),
    ZeroPadding2d(ZeroPadding<2>),
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

/// Layers that exist for one and for two axes make their configuration by these.
macro_rules! of_axes {
    ($($name:ident($layer:ty))+) => {
        $(impl From<$layer> for LayerConfig {
            fn from(layer: $layer) -> Self {
                LayerConfig::$name(layer)
            }
        })+
    };
}

of_axes! {
    AveragePooling1d(AveragePooling<1>)
    AveragePooling2d(AveragePooling<2>)
    Conv1d(Conv<1>)
    Conv1dTranspose(ConvTranspose<1>)
    Conv2d(Conv<2>)
    Conv2dTranspose(ConvTranspose<2>)
    Cropping1d(Cropping<1>)
    Cropping2d(Cropping<2>)
    DepthwiseConv1d(DepthwiseConv<1>)
    DepthwiseConv2d(DepthwiseConv<2>)
    GlobalAveragePooling1d(GlobalAveragePooling<1>)
    GlobalAveragePooling2d(GlobalAveragePooling<2>)
    GlobalMaxPooling1d(GlobalMaxPooling<1>)
    GlobalMaxPooling2d(GlobalMaxPooling<2>)
    MaxPooling1d(MaxPooling<1>)
    MaxPooling2d(MaxPooling<2>)
    SeparableConv1d(SeparableConv<1>)
    SeparableConv2d(SeparableConv<2>)
    SpatialDropout1d(SpatialDropout<1>)
    SpatialDropout2d(SpatialDropout<2>)
    UpSampling1d(UpSampling<1>)
    UpSampling2d(UpSampling<2>)
    ZeroPadding1d(ZeroPadding<1>)
    ZeroPadding2d(ZeroPadding<2>)
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
            LayerConfig::Add { layers, activation } => Box::new(Add::from_config(layers)?.activation(activation)),
            LayerConfig::AlphaDropout(layer) => Box::new(layer),
            LayerConfig::AveragePooling1d(layer) => Box::new(layer),
            LayerConfig::AveragePooling2d(layer) => Box::new(layer),
            LayerConfig::BatchNorm(layer) => Box::new(layer),
            LayerConfig::Block { layers } => Box::new(Block::from_config(layers)?),
            LayerConfig::Concatenate { layers } => Box::new(Concatenate::from_config(layers)?),
            LayerConfig::Conv1d(layer) => Box::new(layer),
            LayerConfig::Conv1dTranspose(layer) => Box::new(layer),
            LayerConfig::Conv2d(layer) => Box::new(layer),
            LayerConfig::Conv2dTranspose(layer) => Box::new(layer),
            LayerConfig::Cropping1d(layer) => Box::new(layer),
            LayerConfig::Cropping2d(layer) => Box::new(layer),
            LayerConfig::Dense(layer) => Box::new(layer),
            LayerConfig::DepthwiseConv1d(layer) => Box::new(layer),
            LayerConfig::DepthwiseConv2d(layer) => Box::new(layer),
            LayerConfig::Dropout(layer) => Box::new(layer),
            LayerConfig::Elu(layer) => Box::new(layer),
            LayerConfig::Flatten(layer) => Box::new(layer),
            LayerConfig::GaussianDropout(layer) => Box::new(layer),
            LayerConfig::GaussianNoise(layer) => Box::new(layer),
            LayerConfig::GlobalAveragePooling1d(layer) => Box::new(layer),
            LayerConfig::GlobalAveragePooling2d(layer) => Box::new(layer),
            LayerConfig::GlobalMaxPooling1d(layer) => Box::new(layer),
            LayerConfig::GlobalMaxPooling2d(layer) => Box::new(layer),
            LayerConfig::GroupNorm(layer) => Box::new(layer),
            LayerConfig::Identity(layer) => Box::new(layer),
            LayerConfig::LayerNorm(layer) => Box::new(layer),
            LayerConfig::LeakyRelu(layer) => Box::new(layer),
            LayerConfig::MaxPooling1d(layer) => Box::new(layer),
            LayerConfig::MaxPooling2d(layer) => Box::new(layer),
            LayerConfig::Multiply { layers } => Box::new(Multiply::from_config(layers)?),
            LayerConfig::Normalization(layer) => Box::new(layer),
            LayerConfig::PRelu(layer) => Box::new(layer),
            LayerConfig::Permute(layer) => Box::new(layer),
            LayerConfig::RepeatVector(layer) => Box::new(layer),
            LayerConfig::Rescaling(layer) => Box::new(layer),
            LayerConfig::Reshape(layer) => Box::new(layer),
            LayerConfig::Residual { layers, activation } => {
                Box::new(Residual::from_config(layers)?.activation(activation))
            }
            LayerConfig::RmsNorm(layer) => Box::new(layer),
            LayerConfig::SeparableConv1d(layer) => Box::new(layer),
            LayerConfig::SeparableConv2d(layer) => Box::new(layer),
            LayerConfig::Softmax(layer) => Box::new(layer),
            LayerConfig::SpatialDropout1d(layer) => Box::new(layer),
            LayerConfig::SpatialDropout2d(layer) => Box::new(layer),
            LayerConfig::UnitNormalization(layer) => Box::new(layer),
            LayerConfig::UpSampling1d(layer) => Box::new(layer),
            LayerConfig::UpSampling2d(layer) => Box::new(layer),
            LayerConfig::ZeroPadding1d(layer) => Box::new(layer),
            LayerConfig::ZeroPadding2d(layer) => Box::new(layer),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraints::Constraint;
    use crate::regularizers::Regularizer;

    fn block() -> LayerConfig {
        let dense = Dense::new(3)
            .kernel_regularizer(Regularizer::L1L2 { l1: 0.1, l2: 0.2 })
            .bias_regularizer(Regularizer::L1(0.3))
            .activity_regularizer(Regularizer::L2(0.4))
            .kernel_constraint(Constraint::min_max_norm(0.5, 1.5).rate(0.25).axis([0, 1]))
            .bias_constraint(Constraint::NonNeg);
        let slopes = PRelu::new().alpha_regularizer(Regularizer::L2(0.5)).alpha_constraint(Constraint::max_norm(3.0));
        let block = Block::<f32>::new().add(dense).trainable(false).add(slopes).learning_rate_factor(0.1);
        Layer::config(&block.add(ActivityRegularization::new().l1(0.6)).add(Identity::new()))
    }

    #[test]
    fn training_settings_are_kept() {
        let config = block();
        assert_eq!(config.clone().into_layer::<f64>().unwrap().config(), config);
        let LayerConfig::Block { layers } = config else { panic!("no block") };
        assert_eq!(layers.iter().map(|l| l.trainable).collect::<Vec<_>>(), [false, true, true, true]);
        assert_eq!(layers.iter().map(|l| l.learning_rate_factor).collect::<Vec<_>>(), [1.0, 0.1, 1.0, 1.0]);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn written_and_read() {
        let config = block();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LayerConfig>(&text).unwrap(), config, "{text}");
        // Nothing is written of settings at their defaults, and files without them can be read.
        let plain = Layer::config(&Block::<f32>::new().add(Dense::new(3)));
        let text = serde_json::to_string(&plain).unwrap();
        assert!(!["trainable", "factor", "regularizer", "constraint"].iter().any(|word| text.contains(word)), "{text}");
        assert_eq!(serde_json::from_str::<LayerConfig>(&text).unwrap(), plain);
    }
}
