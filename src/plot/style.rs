//! Colours, and where texts are held.

use plotters_backend::BackendColor;

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Color(pub u8, pub u8, pub u8);

impl From<Color> for BackendColor {
    fn from(Color(r, g, b): Color) -> Self {
        BackendColor { alpha: 1.0, rgb: (r, g, b) }
    }
}

pub(super) const WHITE: Color = Color(255, 255, 255);
pub(super) const BLACK: Color = Color(25, 25, 25);
pub(super) const GREY: Color = Color(90, 90, 90);
pub(super) const LIGHT: Color = Color(225, 225, 225);
/// Blue and vermilion of Okabe and Ito's palette, told apart by every kind of colour vision, and in grey by their brightness.
pub(super) const BLUE: Color = Color(0, 114, 178);
pub(super) const VERMILION: Color = Color(213, 94, 0);

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}
