//! Letters: their widths, and how they are drawn on a bitmap.
//!
//! The font is DejaVu Sans, cut down to Latin letters, Greek and a few signs; its licence stands beside it.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendTextStyle, FontFamily, FontTransform};

use super::style::{Anchor, Color};

/// A browser without DejaVu takes Verdana, whose letters are as wide, or what it has.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// plotters divides sizes by this to get from the height of a line to an em.
const LINE: f64 = 1.24;
/// The height of a lower-case x in em.
const X_HEIGHT: f64 = 0.547;

/// The font; `None` never happens, as the bytes are ours and a test reads them.
pub(super) fn font() -> Option<FontRef<'static>> {
    FontRef::try_from_slice(include_bytes!("font.ttf")).ok()
}

fn scale(font: &FontRef<'_>, em: f64) -> PxScale {
    let units = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(em as f32 * font.height_unscaled() / units)
}

/// The width of a text with letters of size `em`, in the unit of `em`.
pub(super) fn width(text: &str, em: f64) -> f64 {
    let Some(font) = font() else { return 0.6 * em * text.chars().count() as f64 };
    let scaled = font.as_scaled(scale(&font, em));
    text.chars().map(|c| f64::from(scaled.h_advance(scaled.glyph_id(c)))).sum()
}

/// A text's looks, as plotters wants to know them.
#[derive(Debug)]
pub(super) struct Face {
    pub em: f64,
    pub color: Color,
    pub anchor: Anchor,
    /// Whether it reads from below to above.
    pub turned: bool,
}

impl BackendTextStyle for Face {
    type FontError = std::convert::Infallible;

    fn color(&self) -> BackendColor {
        self.color.into()
    }

    fn size(&self) -> f64 {
        self.em * LINE
    }

    fn transform(&self) -> FontTransform {
        if self.turned { FontTransform::Rotate270 } else { FontTransform::None }
    }

    fn anchor(&self) -> Pos {
        let across = match self.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        Pos::new(across, VPos::Center)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(FAMILY)
    }

    /// As high as an x, which is what SVG centres.
    fn layout_box(&self, text: &str) -> Result<((i32, i32), (i32, i32)), Self::FontError> {
        Ok(((0, 0), (width(text, self.em).round() as i32, (X_HEIGHT * self.em).round() as i32)))
    }

    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        text: &str,
        (x, y): (i32, i32),
        mut dot: F,
    ) -> Result<Result<(), E>, Self::FontError> {
        let Some(font) = font() else { return Ok(Ok(())) };
        let scale = scale(&font, self.em);
        let scaled = font.as_scaled(scale);
        let mut at = 0.0;
        for c in text.chars() {
            let id = scaled.glyph_id(c);
            let glyph = id.with_scale_and_position(scale, point(at, (X_HEIGHT * self.em) as f32));
            at += scaled.h_advance(id);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            let mut drawn = Ok(());
            outline.draw(|dx, dy, coverage| {
                let (dx, dy) = (corner.x as i32 + dx as i32, corner.y as i32 + dy as i32);
                let color = BackendColor { alpha: f64::from(coverage.clamp(0.0, 1.0)), ..self.color() };
                if drawn.is_ok() && coverage > 0.0 {
                    drawn = dot(x + dx, y + dy, color);
                }
            });
            if drawn.is_err() {
                return Ok(drawn);
            }
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_is_whole() {
        let font = font().unwrap();
        assert!(font.glyph_count() > 200);
        for c in ['A', 'z', '0', 'é', 'ß', '×', '…', '→', '−', 'µ', 'σ'] {
            assert!(font.glyph_id(c).0 != 0, "{c}");
        }
        // An em dash is one em wide.
        assert!((width("—", 20.0) - 20.0).abs() < 0.01);
        assert!(width("iii", 10.0) < width("mmm", 10.0));
    }
}
