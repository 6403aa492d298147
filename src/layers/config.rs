//! The configuration of any layer, as a value that serde writes and reads.

use super::{
    Absolute, ActivityRegularization, AlphaDropout, Arithmetic, AveragePooling, BatchNorm, ClassToken, Conv,
    ConvTranspose, Cropping, Dense, DepthwiseConv, Dropout, Elu, Embedding, Flatten, GatedDense, GaussianDropout,
    GaussianNoise, GlobalAveragePooling, GlobalMaxPooling, GroupNorm, Identity, LayerNorm, LeakyRelu, Masking,
    MaxPooling, MultiHeadAttention, Negative, Normalization, PRelu, Permute, RepeatVector, Rescaling, Reshape, RmsNorm,
    SeparableConv, Slice, Softmax, SpatialDropout, TiedDense, TimeDistributed, UnitNormalization, UpSampling,
    ZeroPadding,
};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::tensor::Float;

/// The list of all layers, in the order of their names: `$give!` is called with it. `one` are types of their own, `axes` types
/// that exist for one and for two axes.
macro_rules! layer_classes {
    ($give:ident) => {
        $give! {
            one {
                Absolute Activation ActivityRegularization AlphaDropout Arithmetic BatchNorm ClassToken Dense Dropout Elu Embedding Flatten
                GatedDense GaussianDropout GaussianNoise GroupNorm Identity LayerNorm LeakyRelu Masking MultiHeadAttention Negative Normalization PRelu Permute
                RepeatVector Rescaling Reshape RmsNorm Slice Softmax TiedDense TimeDistributed UnitNormalization
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
        }
    };
}

#[cfg(not(test))]
pub(crate) use layer_classes;

macro_rules! layer_config {
    (one { $($one:ident)+ } axes { $($axes:ident($of:ty))+ }) => {
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
            /// A sum of branches, as files of format 1 have it: a recipe for a graph and no layer of its own.
            Add(ContainerConfig),
            /// Layers one after the other, likewise.
            Block(ContainerConfig),
            /// Outputs of branches side by side, likewise.
            Concatenate(ContainerConfig),
            /// A product of branches, likewise.
            Multiply(ContainerConfig),
            /// A shortcut around layers, likewise.
            Residual(ContainerConfig),
            /// A layer from outside this crate: its class, and its settings as JSON, or nothing.
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
            pub const CLASSES: &[&str] = &[$(stringify!($one),)+ $(stringify!($axes)),+];

            /// The configuration of a layer of your own, for its `config`: its class, and what serde writes of it. `model::Registry` makes
            /// it again.
            #[cfg(feature = "files")]
            pub fn own(class: &str, settings: &impl serde::Serialize) -> Self {
                LayerConfig::Custom { class: class.to_owned(), settings: crate::config::settings(settings) }
            }

            /// Makes the layer; it is not built yet.
            ///
            /// # Errors
            /// [`Error::Config`] for a [`Custom`](Self::Custom) layer, which only its own crate can make, and for recipes of several
            /// layers, which are added to a graph.
            pub fn into_layer<T: Float>(self) -> Result<Box<dyn Layer<T>>> {
                Ok(match self {
                    $(LayerConfig::$one(layer) => layer.boxed(),)+
                    $(LayerConfig::$axes(layer) => layer.boxed(),)+
                    LayerConfig::Add(_)
                    | LayerConfig::Block(_)
                    | LayerConfig::Concatenate(_)
                    | LayerConfig::Multiply(_)
                    | LayerConfig::Residual(_) => {
                        let problem = "a container is a recipe of several layers".to_owned();
                        let hint = "add the configuration to a Sequential or a Graph";
                        return Err(Error::Config { op: "into_layer", problem, hint: hint.into() });
                    }
                    LayerConfig::Custom { class, .. } => {
                        let problem = format!("{class} is a layer of your own, which a file cannot make");
                        let hint = format!(
                            "say what it is: Model::load_with(path, &Registry::builtin().with_layer::<{class}>({class:?})); or build the \
                             model in your code, with the same layers under the same names, and read the weights of the file with \
                             model.load_weights(path)"
                        );
                        return Err(Error::Config { op: "load", problem, hint });
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

    fn layers() -> Vec<LayerConfig> {
        let dense = Dense::new(3)
            .kernel_regularizer(Regularizer::L1L2 { l1: 0.1, l2: 0.2 })
            .bias_regularizer(Regularizer::L1(0.3))
            .activity_regularizer(Regularizer::L2(0.4))
            .kernel_constraint(Constraint::min_max_norm(0.5, 1.5).rate(0.25).axis([0, 1]))
            .bias_constraint(Constraint::NonNeg);
        let slopes = PRelu::new().alpha_regularizer(Regularizer::L2(0.5)).alpha_constraint(Constraint::max_norm(3.0));
        vec![
            Layer::<f32>::config(&dense),
            Layer::<f32>::config(&slopes),
            Layer::<f32>::config(&ActivityRegularization::new().l1(0.6)),
            Layer::<f32>::config(&Identity::new()),
        ]
    }

    #[test]
    fn training_settings_are_kept() {
        for config in layers() {
            assert_eq!(config.clone().into_layer::<f64>().unwrap().config(), config);
        }
        let block = LayerConfig::Block(ContainerConfig::default());
        assert!(block.into_layer::<f32>().unwrap_err().to_string().contains("recipe of several layers"));
    }

    #[cfg(feature = "files")]
    #[test]
    fn written_and_read() {
        for config in layers() {
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<LayerConfig>(&text).unwrap(), config, "{text}");
        }
        // Nothing is written of settings at their defaults, and files without them can be read.
        let plain = Layer::<f32>::config(&Dense::new(3));
        let text = serde_json::to_string(&plain).unwrap();
        assert!(!["trainable", "factor", "regularizer", "constraint"].iter().any(|word| text.contains(word)), "{text}");
        assert_eq!(serde_json::from_str::<LayerConfig>(&text).unwrap(), plain);
    }
}
