//! Checkpoints from bytes, and the run that goes on from them.
#![no_main]

mod sign;

use gradus::io::Archive;
use gradus::prelude::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = sign::signed(bytes);
    let Ok(mut archive) = Archive::from_bytes(&bytes) else { return };
    // The model of which the corpus has checkpoints.
    let mut model = Sequential::new([2]).add(Dense::new(2)).add(Dropout::new(0.5)).add(Dense::new(1)).build(0).unwrap();
    let metrics = (RootMeanSquaredError::default(), R2Score::default());
    model.compile(Adam::default().ema(0.9), MeanSquaredError::default(), metrics).unwrap();
    if model.resume_archive(&mut archive).is_err() {
        return;
    }
    let (x, y) = (Tensor::zeros([3, 2]), Tensor::zeros([3, 1]));
    let mut stopping = EarlyStopping::default().monitor("loss").patience(2).restore_best_weights(true);
    let mut slower = ReduceLrOnPlateau::default().monitor("loss");
    let how = Fit::default().epochs(3).batch_size(2).verbose(Verbose::Silent);
    let _ = model.fit_with(&x, &y, &how, &mut [&mut stopping, &mut slower]);
});
