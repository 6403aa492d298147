//! Seeing it: curves of a training in the terminal.
//!
//! | what | how |
//! |---|---|
//! | curves in the terminal | [`history.plot()`](crate::model::History::plot), printed |

mod number;
mod terminal;

pub use terminal::TerminalPlot;

#[cfg(feature = "plot")]
mod axis;
#[cfg(feature = "plot")]
mod curves;
#[cfg(feature = "plot")]
mod drawing;
#[cfg(feature = "plot")]
mod font;
#[cfg(feature = "plot")]
pub use curves::Curves;
#[cfg(feature = "plot")]
pub use drawing::{Drawing, Picture};
