//! Figures of training for TensorBoard: cargo run --release --example tensor_board FOLDER

use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let folder = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("gradus_logs"), Into::into);
    let table = gradus::data::iris();
    let split = train_test_split(&table.x, &table.y, &Split::default().test_size(0.3))?;
    let mut model = Sequential::new([4])
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(1)?;
    model.compile(Adam::default().learning_rate(0.01), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    let mut board = TensorBoard::new(&folder).update_freq(2).histogram_freq(1);
    let how = Fit::default().epochs(5).batch_size(16).validation_data(&split.x_test, &split.y_test);
    model.fit_with(&split.x_train, &split.y_train, &how, &mut [&mut board])?;
    println!("tensorboard --logdir {}", folder.display());
    Ok(())
}
