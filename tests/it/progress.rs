//! What a run prints while it trains, on a terminal.

use gradus::prelude::*;

use crate::child;

/// A bar is drawn by moving the cursor. A terminal that cannot (Emacs's shell, a CI log) once got nothing at all.
#[test]
fn a_terminal_without_a_cursor_gets_lines() {
    if child::task().is_some() {
        let mut model = Sequential::new([4]).add(Dense::new(3)).build(1).unwrap();
        model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
        let y = Tensor::zeros([150, 3]);
        for verbose in [Verbose::Auto, Verbose::Bar] {
            model.fit(&iris().x, &y, &Fit::default().epochs(2).verbose(verbose)).unwrap();
        }
        return;
    }
    let printed = |term: &str| {
        let mut command = child::on_a_terminal(a_terminal_without_a_cursor_gets_lines, "fit")?;
        Some(child::ran(command.env("TERM", term).spawn().unwrap()))
    };
    let Some(dumb) = printed("dumb") else {
        return println!("not looked at, as `script` is not installed: how a terminal is written to");
    };
    let lines: Vec<&str> = dumb.lines().filter_map(|line| line.find("epoch ").map(|at| &line[at..])).collect();
    let starts: Vec<&str> = lines.iter().map(|line| &line[..10]).collect();
    assert_eq!(starts, ["epoch 1/2 ", "epoch 2/2 "].repeat(2), "{dumb}");
    assert!(lines.iter().all(|line| line.contains("/step - loss: ")) && !dumb.contains('\u{1b}'), "{dumb}");
    // Elsewhere there is a bar, and its lines stay above it.
    let bar = printed("xterm").unwrap();
    assert!(bar.contains("\u{1b}[") && bar.contains("eta") && bar.contains("/step - loss: "), "{bar}");
}
