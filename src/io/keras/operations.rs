//! Operators between tensors (`x * 2`, `x[:, 1:3]`), which are nodes of a graph but no layers.

use super::json::Object;

/// The module of operators.
pub(super) const MODULE: &str = "keras.src.ops.";

/// Operators that Keras adds to compute masks.
const MASKS: [&str; 7] = ["Any", "Concatenate", "ExpandDims", "LogicalOr", "NotEqual", "OnesLike", "ZerosLike"];

/// Whether Keras may have added it for masks alone.
pub(super) fn for_masks(object: &Object) -> bool {
    object.module.as_deref() == Some("keras.src.ops.numpy") && MASKS.contains(&&*object.class_name)
}

/// What is said of an operator; none is built yet.
pub(super) const MISSING: &str = "an operator between tensors, which is not built yet";
