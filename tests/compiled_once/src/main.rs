//! Three lines of a program; `.ci/compiled_once` looks at what the compiler made of them.

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let mut model = Sequential::new([4]).add(Dense::new(3).activation(Activation::Softmax)).build(1)?;
    model.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.fit(&Tensor::zeros([8, 4]), &Tensor::zeros([8]), &Fit::default().verbose(Verbose::Silent)).map(drop)
}
