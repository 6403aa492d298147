//! A product with a kernel and a bias, as one of several in a layer.

use crate::error::Result;
use crate::initializers::Init;
use crate::kernels::rows;
use crate::layer::{Builder, Pass};
use crate::layers::linear::{linear, linear_backward, linear_backward_more};
use crate::params::ParamId;
use crate::tensor::{Float, Tensor};

/// y = x·W + b.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Projection {
    kernel: ParamId,
    bias: Option<ParamId>,
}

impl Projection {
    /// Registers `name/kernel` and `name/bias`.
    pub fn build<T: Float>(name: &str, shape: [usize; 2], bias: bool, init: &Init, b: &mut Builder<T>) -> Result<Self> {
        let register = |b: &mut Builder<T>| {
            let kernel = b.product("kernel", shape, init)?;
            let bias = if bias { Some(b.bias("bias", [shape[1]], &Init::Zeros)?) } else { None };
            Ok(Projection { kernel, bias })
        };
        b.scoped(name, Some(name), register).1
    }

    pub fn forward<T: Float>(&self, pass: &mut Pass<'_, T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        linear(pass, self.kernel, x.as_slice(), y);
        if let Some(bias) = self.bias {
            rows::add_bias(y.as_mut_slice(), pass.weight(bias));
        }
    }

    /// Adds to the gradients of kernel and bias; dx is written, or added to, where there is a place.
    pub fn backward<T: Float>(
        &self,
        pass: &mut Pass<'_, T>,
        x: &Tensor<T>,
        dz: &Tensor<T>,
        dx: Option<(&mut [T], bool)>,
    ) {
        if let Some(bias) = self.bias.filter(|bias| pass.wants(*bias)) {
            rows::sum_rows(dz.as_slice(), pass.gradient(bias));
        }
        match dx {
            Some((dx, true)) => linear_backward_more(pass, self.kernel, x.as_slice(), dz, Some(dx)),
            dx => linear_backward(pass, self.kernel, x.as_slice(), dz, dx.map(|(dx, _)| dx)),
        }
    }
}
