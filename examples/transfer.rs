//! A network's body taken over for another task: `cargo run --release --example transfer`.
//!
//! A small convolutional network learns the digits 0 to 4. Its body then gets a new head for the digits 5 to 9, of which four each are
//! given: first the head alone is trained, with the body frozen, batch norms included; then everything at a lower rate. The last line is a
//! network that begins from nothing with the same samples. On images as small as these it does as well: the example shows how it is done,
//! and what it brings is told by larger networks and images.

use gradus::prelude::*;

/// Images and labels from 0 to 4 of the digits in a range, the first `each` of every digit; and those behind them.
fn digits_from(first: usize, each: usize) -> Result<[Tensor; 4], Error> {
    let all = digits();
    let images = all.x.map(|v| v / 16.0).reshape([1797, 8, 8, 1])?;
    let (mut taken, mut rest, mut counts) = (Vec::new(), Vec::new(), [0; 5]);
    for (i, label) in all.y.to_labels().into_iter().enumerate() {
        let Some(count) = label.checked_sub(first).and_then(|class| counts.get_mut(class)) else { continue };
        *count += 1;
        if *count <= each { taken.push(i) } else { rest.push(i) }
    }
    let labels = |rows: &[usize]| Ok::<_, Error>(all.y.select(rows)?.map(|v| v - first as f32));
    Ok([images.select(&taken)?, labels(&taken)?, images.select(&rest)?, labels(&rest)?])
}

fn compile(model: &mut Model, rate: f64) -> Result<(), Error> {
    model.compile(Adam::default().learning_rate(rate), SparseCategoricalCrossentropy::default(), [Accuracy::default()])
}

fn main() -> Result<(), Error> {
    let convolution = |filters| Conv2d::new(filters, 3).padding(Padding::Same).use_bias(false);
    let block = |filters| {
        Block::new().add(convolution(filters)).add(BatchNorm::new().momentum(0.9).activation(Activation::Relu))
    };
    let classes = || Dense::new(5).activation(Activation::Softmax);
    let body = Sequential::new([8, 8, 1])
        .add_named("block_1", block(16))
        .add(MaxPooling2d::new(2))
        .add_named("block_2", block(32))
        .add(MaxPooling2d::new(2))
        .add_named("features", Flatten::new());
    let mut first = body.add_named("classes", classes()).build(1)?;

    let [x, y, x_test, y_test] = digits_from(0, 120)?;
    compile(&mut first, 0.003)?;
    let how = Fit::default().epochs(15).verbose(Verbose::Silent);
    first.fit(&x, &y, &how)?;
    println!("0 to 4, {} samples:               {}", x.samples(), first.evaluate(&x_test, &y_test)?);

    // A new head on the body that is there.
    let [x, y, x_test, y_test] = digits_from(5, 4)?;
    let mut model = first.with_head("features", 2, |g, features| g.add_named("classes", classes(), features))?;
    let frozen = model.set_trainable_matching("block_*", false)?;
    compile(&mut model, 0.01)?;
    let how = Fit::default().epochs(60).batch_size(10).verbose(Verbose::Silent);
    model.fit(&x, &y, &how)?;
    println!("5 to 9, {} samples, {frozen} layers frozen: {}", x.samples(), model.evaluate(&x_test, &y_test)?);

    // Then all of it but the batch norms, slowly.
    model.set_trainable_matching("block_?/conv*", true)?;
    compile(&mut model, 0.0005)?;
    model.fit(&x, &y, &how.clone().epochs(30))?;
    println!("then everything at a lower rate:   {}", model.evaluate(&x_test, &y_test)?);

    let mut fresh = model.part("input", "classes")?.discard_weights(3)?;
    fresh.set_trainable_matching("*", true)?;
    compile(&mut fresh, 0.01)?;
    fresh.fit(&x, &y, &how.epochs(90))?;
    println!("from nothing, with the same:       {}", fresh.evaluate(&x_test, &y_test)?);
    Ok(())
}
