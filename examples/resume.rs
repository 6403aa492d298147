//! A run that is stopped halfway and goes on as if nothing had happened.
//!
//! `cargo run --release --example resume`
//!
//! The same lines serve a program that may be killed at any time: started again, it goes on from its checkpoint. Here an error
//! stops the run instead, so that one program shows both halves, and a third run that was never stopped shows that all bits
//! agree.

use std::path::Path;

use gradus::prelude::*;

/// Digits, with much that has a memory: shuffling, dropout, Adam, a schedule, early stopping.
fn train(checkpoint: Option<&Path>, stop_at: Option<usize>) -> Result<(Model, History), Error> {
    let digits = digits();
    let x = StandardScaler::fit(&digits.x)?.transform(&digits.x)?;
    let mut model = Sequential::new([64])
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dropout::new(0.2))
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(1)?;
    let optimizer = Adam::default().learning_rate(CosineDecay::new(2e-3, 450));
    model.compile(optimizer, SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;

    let mut stopping = EarlyStopping::default().patience(5).restore_best_weights(true);
    let mut batches = 0;
    let mut stop = LambdaCallback::default().on_batch_end(|_, _, _| {
        batches += 1;
        match stop_at {
            Some(at) if batches > at => Err(Error::custom("the plug was pulled")),
            _ => Ok(()),
        }
    });
    let checkpoint = checkpoint.map(|path| Checkpoint::new(path).every_steps(10));
    let mut how = Fit::default().epochs(10).validation_split(0.2).verbose(Verbose::Silent);
    if let Some(checkpoint) = &checkpoint {
        how = how.checkpoint(checkpoint);
    }
    let history = model.fit_with(&x, &digits.y, &how, &mut [&mut stopping, &mut stop])?;
    drop(stop);
    Ok((model, history))
}

fn main() -> Result<(), Error> {
    let file = std::env::temp_dir().join(format!("gradus_resume_{}.safetensors", std::process::id()));
    match train(Some(&file), Some(200)) {
        Err(error) => println!("stopped after 200 batches: {error}"),
        Ok(_) => println!("the run ended before it could be stopped"),
    }
    let size = std::fs::metadata(&file).map_or(0, |m| m.len());
    println!("the checkpoint has {size} bytes");
    let (resumed, history) = train(Some(&file), None)?;
    let (whole, expected) = train(None, None)?;
    println!(
        "gone on: {} epochs, last val_accuracy {:.4}",
        history.epochs.len(),
        history.last("val_accuracy").unwrap_or(0.0)
    );
    let same = resumed.params() == whole.params() && history == expected;
    println!("weights and history are {}those of a run that never stopped, to the bit", if same { "" } else { "NOT " });
    let _ = std::fs::remove_file(&file);
    if same { Ok(()) } else { Err(Error::custom("the runs differ")) }
}
