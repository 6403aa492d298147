//! The configuration of any layer, as a value that serde writes and reads.

use super::{
    Absolute, ActivityRegularization, Add, AlphaDropout, Arithmetic, AveragePooling, BatchNorm, Block, Concatenate,
    Conv, ConvTranspose, Cropping, Dense, DepthwiseConv, Dropout, Elu, Flatten, GaussianDropout, GaussianNoise,
    GlobalAveragePooling, GlobalMaxPooling, GroupNorm, Identity, LayerNorm, LeakyRelu, MaxPooling, Multiply, Negative,
    Normalization, PRelu, Permute, RepeatVector, Rescaling, Reshape, Residual, RmsNorm, SeparableConv, Slice, Softmax,
    SpatialDropout, UnitNormalization, UpSampling, ZeroPadding,
};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::tensor::Float;

/// The list of all layers, in the order of their names: `$give!` is called with it. `one` are types of their own, `axes` types
/// that exist for one and for two axes, `containers` hold other layers.
macro_rules! layer_classes {
    ($give:ident) => {
        $give! {
            one {
                Absolute Activation ActivityRegularization AlphaDropout Arithmetic BatchNorm Dense Dropout Elu Flatten
                GaussianDropout GaussianNoise GroupNorm Identity LayerNorm LeakyRelu Negative Normalization PRelu Permute
                RepeatVector Rescaling Reshape RmsNorm Slice Softmax UnitNormalization
            }
            axes {
                AveragePooling1d(AveragePooling<1>) AveragePooling2d(AveragePooling<2>) Conv1d(Conv<1>)
                Conv1dTranspose(ConvTranspose<1>) Conv2d(Conv<2>) Conv2dTranspose(ConvTranspose<2>)
                Cropping1d(Cropping<1>) Cropping2d(Cropping<2>) DepthwiseConv1d(DepthwiseConv<1>)
                DepthwiseConv2d(DepthwiseConv<2>) GlobalAveragePooling1d(GlobalAveragePooling<1>)
                GlobalAveragePooling2d(GlobalAveragePooling<2>) GlobalMaxPooling1d(GlobalMaxPooling<1>)
                GlobalMaxPooling2d(GlobalMaxPooling<2>) MaxPooling1d(MaxPooling<1>) MaxPooling2d(MaxPooling<2>)
                SeparableConv1d(SeparableConv<1>) SeparableConv2d(SeparableConv<2>) SpatialDropout1d(SpatialDropout<1>)
                SpatialDropout2d(SpatialDropout<2>) UpSampling1d(UpSampling<1>) UpSampling2d(UpSampling<2>)
                ZeroPadding1d(ZeroPadding<1>) ZeroPadding2d(ZeroPadding<2>)
            }
            containers { Add Block Concatenate Multiply Residual }
        }
    };
}

#[cfg(not(test))]
pub(crate) use layer_classes;

macro_rules! layer_config {
    (one { $($one:ident)+ } axes { $($axes:ident($of:ty))+ } containers { $($container:ident)+ }) => {
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
            $($one($one),)+
            $($axes($of),)+
            $($container(ContainerConfig),)+
            /// A layer from outside this crate: its class, and its settings in a form of its own.
            Custom {
                class: String,
                settings: String,
            },
        }

        impl LayerConfig {
            /// The names of all layers of this crate.
            ///
            /// ```
            /// assert!(gradus::layers::LayerConfig::CLASSES.contains(&"Dense"));
            /// ```
            pub const CLASSES: &[&str] = &[$(stringify!($one),)+ $(stringify!($axes),)+ $(stringify!($container)),+];

            /// Makes the layer; it is not built yet.
            ///
            /// # Errors
            /// [`Error::Config`] for a [`Custom`](Self::Custom) layer, which only its own crate can make.
            pub fn into_layer<T: Float>(self) -> Result<Box<dyn Layer<T>>> {
                Ok(match self {
                    $(LayerConfig::$one(layer) => layer.boxed(),)+
                    $(LayerConfig::$axes(layer) => layer.boxed(),)+
                    $(LayerConfig::$container(config) => $container::from_config(config)?.boxed(),)+
                    LayerConfig::Custom { class, .. } => {
                        let problem = format!("{class} is a layer of your own, which a file cannot make");
                        let hint = "build the model in your code, with the same layers under the same names, and read the weights of \
                            the file with model.load_weights(path)";
                        return Err(Error::Config { op: "load", problem, hint: hint.into() });
                    }
                })
            }
        }

        $(impl From<$of> for LayerConfig {
            fn from(layer: $of) -> Self {
                LayerConfig::$axes(layer)
            }
        })+
    };
}

layer_classes!(layer_config);

/// The layers inside a container, and what it does with their outputs.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ContainerConfig {
    /// The layers or branches, in order.
    pub layers: Vec<NamedConfig>,
    /// What is applied to the sum, in containers that add.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Activation::is_linear"))]
    pub activation: Activation,
}

impl ContainerConfig {
    pub(crate) fn new(layers: Vec<NamedConfig>) -> Self {
        ContainerConfig { layers, activation: Activation::Linear }
    }

    /// The layers of a container that applies nothing to its output.
    pub(crate) fn without_activation(self, class: &'static str) -> Result<Vec<NamedConfig>> {
        if self.activation == Activation::Linear {
            return Ok(self.layers);
        }
        let problem = format!("{class} has an activation, {}", self.activation.name());
        let hint = "only Add and Residual apply one; add a layer `Activation` behind it".into();
        Err(Error::Config { op: "LayerConfig", problem, hint })
    }
}

/// A layer inside a container: its configuration and the name it was given, if any.
#[non_exhaustive]
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
        let LayerConfig::Block(ContainerConfig { layers, .. }) = config else { panic!("no block") };
        assert_eq!(layers.iter().map(|l| l.trainable).collect::<Vec<_>>(), [false, true, true, true]);
        assert_eq!(layers.iter().map(|l| l.learning_rate_factor).collect::<Vec<_>>(), [1.0, 0.1, 1.0, 1.0]);
    }

    #[cfg(feature = "files")]
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
