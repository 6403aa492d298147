//! The configuration of any operation on several values, as a value that serde writes and reads.

use super::attention::{AdditiveAttention, Attention, DotProductAttention, MultiHeadAttention};
use super::merging::{
    Add, Average, Concatenate, Dot, InfoNce, Maximum, Minimum, Multiply, Subtract, WithMask, WithMaskOf,
};
use super::operators::{Divide, Power};
use super::positions::{PositionEmbedding, RotaryPositions, SinusoidalPositions};
use crate::error::{Error, Result};
use crate::layer::Op;
use crate::tensor::Float;

macro_rules! op_config {
    ($($op:ident)+) => {
        /// What an operation is made from; [`into_op`](Self::into_op) makes it again.
        ///
        /// ```
        /// use gradus::Op;
        /// use gradus::layers::OpConfig;
        /// use gradus::layers::merging::Concatenate;
        /// let config = Op::<f32>::config(&Concatenate::new().axis(1));
        /// assert_eq!(config.into_op::<f64>()?.class(), "Concatenate");
        /// # Ok::<(), gradus::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(tag = "class", content = "config"))]
        #[non_exhaustive]
        #[allow(missing_docs)]
        pub enum OpConfig {
            $($op($op),)+
            /// An operation from outside this crate: its class, and its settings as JSON, or nothing.
            Custom {
                class: String,
                #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "String::is_empty"))]
                settings: String,
            },
        }

        impl OpConfig {
            /// The names of all operations of this crate.
            pub const CLASSES: &[&str] = &[$(stringify!($op)),+];

            /// The configuration of an operation of your own, for its `config`: its class, and what serde writes of it. `model::Registry`
            /// makes it again.
            #[cfg(feature = "files")]
            pub fn own(class: &str, settings: &impl serde::Serialize) -> Self {
                OpConfig::Custom { class: class.to_owned(), settings: crate::config::settings(settings) }
            }

            /// Makes the operation; it is not built yet.
            ///
            /// # Errors
            /// [`Error::Config`] for a [`Custom`](Self::Custom) one, which only its own crate can make.
            pub fn into_op<T: Float>(self) -> Result<Box<dyn Op<T>>> {
                match self {
                    $(OpConfig::$op(op) => Ok(Box::new(op)),)+
                    OpConfig::Custom { class, .. } => {
                        let problem = format!("{class} is an operation of your own, which a file cannot make");
                        let hint = format!(
                            "say what it is: Model::load_with(path, &Registry::builtin().with_op::<{class}>({class:?})); or build the \
                             model in your code, with the same operations under the same names, and read the weights of the file with \
                             model.load_weights(path)"
                        );
                        Err(Error::Config { op: "load", problem, hint })
                    }
                }
            }
        }
    };
}

op_config!(
    Add AdditiveAttention Attention Average Concatenate Divide Dot DotProductAttention InfoNce Maximum Minimum MultiHeadAttention Multiply PositionEmbedding Power
    RotaryPositions SinusoidalPositions Subtract WithMask WithMaskOf
);
