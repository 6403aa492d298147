//! A model for Python: weights and architecture in one safetensors file, inputs and outputs beside it as NumPy files.
//!
//! `cargo run --release --example export DIR`, then
//! `python tests/interop/keras_models.py check DIR` rebuilds it in Keras and compares.

use std::path::PathBuf;

use gradus::io::{Archive, write_npy};
use gradus::prelude::*;

fn main() -> Result<(), Error> {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let folder = given.unwrap_or_else(|| std::env::temp_dir().join("gradus_export"));
    std::fs::create_dir_all(&folder).map_err(Error::custom)?;

    let iris = iris();
    let mut model = Sequential::new([4])
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dense::new(8).activation(Activation::Tanh))
        .add_named("species", Dense::new(3).activation(Activation::Softmax))
        .build(0)?;
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.fit(&iris.x, &iris.y, &Fit::default().epochs(20).verbose(Verbose::Silent))?;

    model.save(folder.join("model.safetensors"))?;
    write_npy(folder.join("x.npy"), &iris.x)?;
    write_npy(folder.join("y.npy"), &model.predict(&iris.x)?)?;

    println!("{}:", folder.display());
    for stored in Archive::open(folder.join("model.safetensors"))?.arrays() {
        println!("  {:<16} {} {:?}", stored.name, stored.kind(), stored.shape);
    }
    // The same model again, ready to predict.
    let again = Model::load(folder.join("model.safetensors"))?;
    assert_eq!(again.predict(&iris.x)?, model.predict(&iris.x)?);
    Ok(())
}
