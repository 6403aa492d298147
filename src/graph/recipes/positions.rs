//! Operations of one input or more, behind one value.

use super::super::{Graph, Part, Value};
use crate::layers::positions::{PositionEmbedding, RotaryPositions, SinusoidalPositions};

macro_rules! of_one_input {
    ($($op:ident)+) => {
        $(impl Part for $op {
            /// The operation, without a second input.
            fn wire(self, g: &mut Graph, x: Value) -> Value {
                g.op(self, &[x])
            }
        })+
    };
}

of_one_input!(PositionEmbedding RotaryPositions SinusoidalPositions);
