//! Seeing it: curves of a training in the terminal.
//!
//! | what | how |
//! |---|---|
//! | curves in the terminal | [`history.plot()`](crate::model::History::plot), printed |

#[cfg(feature = "plot")]
mod axis;
#[cfg(feature = "plot")]
mod bars;
#[cfg(feature = "plot")]
mod confusion_plot;
#[cfg(feature = "plot")]
mod curves;
#[cfg(feature = "plot")]
mod drawing;
#[cfg(feature = "plot")]
mod font;
#[cfg(feature = "plot")]
mod heat_map;
mod number;
mod terminal;

#[cfg(feature = "plot")]
pub use self::{
    bars::Bars,
    confusion_plot::ConfusionPlot,
    curves::Curves,
    drawing::{Drawing, Picture},
    heat_map::HeatMap,
};
pub use terminal::TerminalPlot;
