//! A layer of one's own: y = scale·x + shift, with a scale and a shift for each feature that are learned.

use gradus::gradcheck;
use gradus::prelude::*;

#[derive(Clone, Debug, Default)]
struct ScaleShift {
    scale: ParamId,
    shift: ParamId,
}

impl<T: Float> Layer<T> for ScaleShift {
    fn class(&self) -> &'static str {
        "ScaleShift"
    }

    // One scale (from 1) and one shift (from 0) for each feature; the shape stays as it is.
    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape, Error> {
        self.scale = b.weight("scale", [input.last()], &Init::Ones)?;
        b.no_decay(self.scale)?;
        self.shift = b.weight("shift", [input.last()], &Init::Zeros)?;
        b.no_decay(self.shift)?;
        Ok(input)
    }

    // For inputs of free sizes, `[FREE, 4]`; a layer without it takes fixed ones.
    fn output_shape(&self, x: Shape) -> Result<Shape, Error> {
        Ok(x)
    }

    // y = scale·x + shift
    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (scale, shift) = (pass.weight(self.scale), pass.weight(self.shift));
        let n = scale.len();
        for (i, (y, &x)) in y.as_mut_slice().iter_mut().zip(x).enumerate() {
            *y = scale[i % n] * x + shift[i % n];
        }
    }

    // dscale += Σ dy·x,  dshift += Σ dy,  dx = dy·scale
    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let n = x.shape().last();
        // A gradient is empty where nobody wants it.
        if pass.wants(self.scale) {
            let dscale = pass.gradient(self.scale);
            dy.iter().zip(x).enumerate().for_each(|(i, (&dy, &x))| dscale[i % n] += dy * x);
        }
        if pass.wants(self.shift) {
            let dshift = pass.gradient(self.shift);
            dy.iter().enumerate().for_each(|(i, &dy)| dshift[i % n] += dy);
        }
        if let Some(dx) = dx {
            let scale = pass.weight(self.scale);
            dx.as_mut_slice().iter_mut().zip(&*dy).enumerate().for_each(|(i, (dx, &dy))| *dx = dy * scale[i % n]);
        }
    }
}

fn main() -> Result<(), Error> {
    // The gradient above against finite differences, in f64.
    let report = gradcheck::check_custom_layer(ScaleShift::default(), [5])?;
    println!("gradient check: {} values compared, largest error {:.1e}\n", report.compared, report.error);

    // In front of a network it learns how to scale the measurements of iris flowers.
    let iris = iris();
    let parts = train_test_split(&iris.x, &iris.y, &Split::default().test_size(0.2).stratify(true))?;
    let mut model = Sequential::new([4])
        .add(ScaleShift::default())
        .add(Dense::new(8).activation(Activation::Tanh))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(0)?;
    println!("{}", model.summary());
    model.compile(Adam::default().learning_rate(0.01), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.fit(&parts.x_train, &parts.y_train, &Fit::default().epochs(100).verbose(Verbose::Silent))?;
    println!("learned scale: {:.3?}", model.weight("scale_shift/scale")?);
    println!("learned shift: {:.3?}", model.weight("scale_shift/shift")?);
    println!("test: {}", model.evaluate(&parts.x_test, &parts.y_test)?);
    Ok(())
}
