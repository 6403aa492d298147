//! A program of the README's kind; `.ci/compiled_once` looks at what the compiler made of it.

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let table: Table = Csv::default().parse("a,b,kind\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n")?;
    let x = StandardScaler::fit(&table.x)?.transform(&table.x)?;
    let mut model = Sequential::new([2])
        .add(Normalization::new().adapt(&x)?)
        .add(Dense::new(3).activation(Activation::Relu))
        .add(LayerNorm::new())
        .add(Dropout::new(0.1))
        .add(Dense::new(2).activation(Activation::Softmax))
        .build(1)?;
    model.compile(Adam::default(), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    let mut stopping: EarlyStopping = EarlyStopping::default().monitor("loss").patience(1);
    let how = Fit::default().epochs(2).verbose(Verbose::Silent);
    model.fit_with(&x, &table.y, &how, &mut [&mut stopping])?;
    model.evaluate(&x, &table.y)?;
    model.predict(&x)?;
    model.predict_classes(&x)?;

    let sentences: Vec<Tensor> = (1..40).map(|i| Tensor::full([i % 7 + 1, 2], i as f32)).collect();
    let data = Ragged::new(sentences, Tensor::zeros([39, 1]))?.shuffle(1).bucket(8);
    let mut model = Sequential::new([FREE, 2]).add(GlobalAveragePooling1d::new()).add(Dense::new(1)).build(1)?;
    model.compile(Adam::default(), MeanSquaredError::default(), ())?;
    model.fit_dataset(&data, &how, &mut [])?;

    let digits = digits();
    let images = digits.x.reshape([1797, 8, 8, 1])?;
    let augment = Augment::new().rotation(10.0).value_range([0.0, 16.0]);
    let data = Samples::new(images.clone(), digits.y.clone())?.augment(augment, 1).shuffle(1).batch(32).prefetch(1)?;
    let mut model = Sequential::new([8, 8, 1])
        .add(Conv2d::new(4, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(MaxPooling2d::new(2))
        .add(Residual::new().add(Conv2d::new(4, 3).padding(Padding::Same)).add(BatchNorm::new()))
        .add(Flatten::new())
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(1)?;
    model.compile(
        Sgd::default().momentum(0.9),
        SparseCategoricalCrossentropy::default(),
        (Accuracy::default(), Auc::default()),
    )?;
    model.fit_dataset(&data, &how, &mut [])?;
    model.evaluate(&images, &digits.y).map(drop)
}
