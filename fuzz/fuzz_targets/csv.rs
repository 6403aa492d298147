//! Tables from bytes, under several settings; the first byte chooses.
#![no_main]

use gradus::prelude::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let mut csv = Csv::default().header(choice & 1 == 1).delimiter(if choice & 2 == 2 { b';' } else { b',' });
    csv = match choice >> 2 & 7 {
        0 => csv.label("y"),
        1 => csv.label(0),
        2 => csv.no_label(),
        3 => csv.label("y").classes(),
        4 => csv.labels([0, 1]),
        5 => csv.label(1).numbers(),
        6 => csv.features([0]).label(1),
        _ => csv.ignore([0]),
    };
    let _ = csv.skip_lines(usize::from(choice >> 5 & 1)).read_from::<f32>("fuzz", bytes);
});
