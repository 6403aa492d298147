//! Seeing it: curves of a training in the terminal.
//!
//! | what | how |
//! |---|---|
//! | curves in the terminal | [`history.plot()`](crate::model::History::plot), printed |

mod number;
mod terminal;

pub use terminal::TerminalPlot;
