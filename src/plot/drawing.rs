//! What every picture is made of, and how it becomes a file.

use std::io::Write;
use std::path::Path;

use plotters_backend::{BackendColor, BackendStyle, DrawingBackend, DrawingErrorKind};
use plotters_bitmap::BitMapBackend;
use plotters_svg::SVGBackend;

use super::font::{self, Face};
use super::style::{Anchor, Color, WHITE};
use crate::error::{Error, Result};
use crate::io::atomic;

/// A point in pixels from the upper left corner.
pub(super) type Point = (f64, f64);

#[derive(Clone, Debug)]
enum Shape {
    Box { from: Point, to: Point, color: Color, filled: bool },
    Path { points: Vec<Point>, color: Color, width: f64 },
    Polygon { points: Vec<Point>, color: Color },
    Dot { at: Point, radius: f64, color: Color },
    Text { at: Point, text: String, em: f64, color: Color, anchor: Anchor, turned: bool },
}

/// A picture as shapes: what a [`Picture`] draws and its files are made from.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Pixels for a unit of the shapes.
    zoom: f64,
    shapes: Vec<Shape>,
}

/// The least and the greatest width or height of a picture in pixels.
pub(super) const SIZES: (u32, u32) = (100, 4096);

impl Drawing {
    /// An empty one; sizes are brought into [`SIZES`].
    pub(super) fn new(width: f64, height: f64) -> Self {
        let within = |v: f64| v.round().max(SIZES.0.into()).min(SIZES.1.into());
        Drawing { width: within(width), height: within(height), zoom: 1.0, shapes: Vec::new() }
    }

    /// Makes everything smaller or larger, to fit a picture of another size.
    pub(super) fn zoom(self, width: f64, height: f64, of: (f64, f64)) -> Self {
        let size = Drawing::new(width, height);
        Drawing { zoom: (size.width / of.0).min(size.height / of.1), shapes: self.shapes, ..size }
    }

    pub(super) fn fill(&mut self, from: Point, to: Point, color: Color) {
        self.shapes.push(Shape::Box { from, to, color, filled: true });
    }

    pub(super) fn outline(&mut self, from: Point, to: Point, color: Color) {
        self.shapes.push(Shape::Box { from, to, color, filled: false });
    }

    pub(super) fn path(&mut self, points: Vec<Point>, color: Color, width: f64) {
        self.shapes.push(Shape::Path { points, color, width });
    }

    pub(super) fn polygon(&mut self, points: Vec<Point>, color: Color) {
        self.shapes.push(Shape::Polygon { points, color });
    }

    pub(super) fn dot(&mut self, at: Point, radius: f64, color: Color) {
        self.shapes.push(Shape::Dot { at, radius, color });
    }

    /// A text whose letters' middle is at the height of `at`.
    pub(super) fn text(&mut self, at: Point, text: &str, em: f64, color: Color, anchor: Anchor) {
        let text = clean(text);
        self.shapes.push(Shape::Text { at, text, em, color, anchor, turned: false });
    }

    /// A text that reads from below to above.
    pub(super) fn turned(&mut self, at: Point, text: &str, em: f64, color: Color, anchor: Anchor) {
        let text = clean(text);
        self.shapes.push(Shape::Text { at, text, em, color, anchor, turned: true });
    }

    /// All shapes, `scale` times as large, as a backend counts in whole units.
    fn draw<B: DrawingBackend>(
        &self,
        to: &mut B,
        scale: f64,
        bitmap: bool,
    ) -> Result<(), DrawingErrorKind<B::ErrorType>> {
        let all = ((self.width * scale) as i32, (self.height * scale) as i32);
        to.draw_rect((0, 0), all, &Stroke(WHITE, 1), true)?;
        let scale = scale * self.zoom;
        let unit = |v: f64| (v * scale).round() as i32;
        let place = |&(x, y): &Point| (unit(x), unit(y));
        for shape in &self.shapes {
            match shape {
                Shape::Box { from, to: corner, color, filled } => {
                    if *filled {
                        to.draw_rect(place(from), place(corner), &Stroke(*color, 1), true)?;
                    } else {
                        let (a, b) = (place(from), place(corner));
                        let round = [a, (b.0, a.1), b, (a.0, b.1), a];
                        to.draw_path(round, &Stroke(*color, unit(1.0).max(1) as u32))?;
                    }
                }
                // A bitmap's strokes shoot past sharp corners, so each piece is a polygon of its own, with round joints.
                Shape::Path { points, color, width } if bitmap => {
                    let (stroke, half) = (Stroke(*color, 1), width / 2.0);
                    for pair in points.windows(2) {
                        let [(x0, y0), (x1, y1)] = *pair else { continue };
                        let length = (x1 - x0).hypot(y1 - y0).max(1e-9);
                        let (dx, dy) = ((y0 - y1) / length * half, (x1 - x0) / length * half);
                        let corners = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)];
                        to.fill_polygon(corners.iter().map(place), &stroke)?;
                    }
                    for joint in points.iter().skip(1).take(points.len().saturating_sub(2)) {
                        to.draw_circle(place(joint), unit(half).max(1) as u32, &stroke, true)?;
                    }
                }
                Shape::Path { points, color, width } => {
                    to.draw_path(points.iter().map(place), &Stroke(*color, unit(*width).max(1) as u32))?;
                }
                Shape::Polygon { points, color } => {
                    to.fill_polygon(points.iter().map(place), &Stroke(*color, 1))?;
                }
                Shape::Dot { at, radius, color } => {
                    to.draw_circle(place(at), unit(*radius).max(1) as u32, &Stroke(*color, 1), true)?;
                }
                Shape::Text { at: (x, y), text, em, color, anchor, turned } => {
                    let face = Face { em: em * scale, color: *color, anchor: *anchor, turned: *turned };
                    // Backends centre a lower-case x; capitals and digits stand 0.18 em higher.
                    let down = 0.09 * em;
                    let at = if *turned { (x + down, *y) } else { (*x, y + down) };
                    to.draw_text(text, &face, place(&at))?;
                }
            }
        }
        to.present()
    }

    fn svg(&self) -> String {
        // Tenths of a pixel, so that curves are smooth.
        const TENTHS: u32 = 10;
        let (w, h) = (self.width as u32, self.height as u32);
        let mut out = String::new();
        let mut backend = SVGBackend::with_string(&mut out, (w * TENTHS, h * TENTHS));
        // Writing to a string does not fail.
        let _ = self.draw(&mut backend, TENTHS.into(), false);
        drop(backend);
        let (large, size) = ((w * TENTHS, h * TENTHS), (w, h));
        let attributes = |(w, h): (u32, u32)| format!("width=\"{w}\" height=\"{h}\"");
        out.replacen(&attributes(large), &attributes(size), 1)
    }

    /// Rows of red, green and blue: drawn larger, then averaged, which smooths the edges.
    fn pixels(&self) -> Result<Vec<u8>> {
        let (w, h) = (self.width as usize, self.height as usize);
        let times = match w * h {
            n if n <= 2 << 20 => 3,
            n if n <= 6 << 20 => 2,
            _ => 1,
        };
        let mut large = vec![255; w * times * h * times * 3];
        let mut backend = BitMapBackend::with_buffer(&mut large, ((w * times) as u32, (h * times) as u32));
        self.draw(&mut backend, times as f64, true).map_err(|e| Error::custom(e.to_string()))?;
        drop(backend);
        if times == 1 {
            return Ok(large);
        }
        let mut out = Vec::with_capacity(w * h * 3);
        let mut sums = vec![0u32; w * 3];
        for rows in large.chunks_exact(w * times * 3 * times) {
            sums.fill(0);
            for row in rows.chunks_exact(w * times * 3) {
                for (sum, block) in sums.chunks_exact_mut(3).zip(row.chunks_exact(3 * times)) {
                    for pixel in block.chunks_exact(3) {
                        sum.iter_mut().zip(pixel).for_each(|(s, &p)| *s += u32::from(p));
                    }
                }
            }
            let count = (times * times) as u32;
            out.extend(sums.iter().map(|s| ((s + count / 2) / count) as u8));
        }
        Ok(out)
    }

    fn png(&self) -> Result<Vec<u8>> {
        let failed = |e: png::EncodingError| Error::custom(e);
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.pixels()?).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(out)
    }
}

struct Stroke(Color, u32);

impl BackendStyle for Stroke {
    fn color(&self) -> BackendColor {
        self.0.into()
    }

    fn stroke_width(&self) -> u32 {
        self.1
    }
}

/// Without the characters that XML does not have.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { ' ' } else { c }).collect()
}

/// As much of a text as fits a width, and an ellipsis for the rest.
pub(super) fn fit(text: &str, em: f64, width: f64) -> String {
    // Nothing that is wider than a picture has more letters than this.
    let short: String = clean(text).chars().take(2000).collect();
    if font::width(&short, em) <= width {
        return short;
    }
    let mut out = String::new();
    let mut left = width - font::width("…", em);
    for c in short.chars() {
        left -= font::width(c.encode_utf8(&mut [0; 4]), em);
        if left < 0.0 {
            break;
        }
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out + "…"
}

/// Something that can be looked at: as a file, or as text or bytes to go elsewhere.
pub trait Picture {
    /// The shapes of the picture.
    fn drawing(&self) -> Drawing;

    /// The picture as an SVG document.
    fn to_svg(&self) -> String {
        self.drawing().svg()
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// What the drawing reports; none is known.
    fn to_png(&self) -> Result<Vec<u8>> {
        self.drawing().png()
    }

    /// Writes the picture as its path's extension says: `.svg` or `.png`.
    ///
    /// # Errors
    /// [`Error::Argument`] for another extension; [`Error::Write`] if the file cannot be written.
    fn save(&self, path: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        let path = path.as_ref();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        let bytes = match extension.as_str() {
            "svg" => self.to_svg().into_bytes(),
            "png" => self.to_png()?,
            _ => {
                let hint = "name the file picture.svg or picture.png";
                let got = format!("{:?}", path.display().to_string());
                return Err(Error::argument("save", "the file's extension", ".svg or .png", got, hint));
            }
        };
        atomic::replace(path, |file| file.write_all(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::style::{BLACK, BLUE};

    #[test]
    fn shapes_land_where_they_belong() {
        let mut d = Drawing::new(100.0, 120.0);
        d.fill((10.0, 20.0), (30.0, 40.0), BLUE);
        d.text((60.0, 100.0), "<a & \"b\"> \u{1}", 12.0, BLACK, Anchor::Middle);
        let pixels = d.pixels().unwrap();
        let pixel = |x: usize, y: usize| &pixels[(y * 100 + x) * 3..][..3];
        assert_eq!((pixel(20, 30), pixel(5, 5)), (&[0, 114, 178][..], &[255, 255, 255][..]));
        let ink = |rows: std::ops::Range<usize>| {
            rows.flat_map(|y| (40..90).map(move |x| (x, y))).filter(|&(x, y)| pixel(x, y)[0] < 128).count()
        };
        // The text is around its middle.
        assert!(ink(94..107) > 50 && ink(80..93) == 0 && ink(108..120) == 0);
        let svg = d.svg();
        assert!(svg.starts_with("<svg width=\"100\" height=\"120\" viewBox=\"0 0 1000 1200\""), "{svg}");
        assert!(svg.contains("&lt;a &amp; &quot;b&quot;&gt;") && !svg.contains('\u{1}'), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
        assert_eq!(Drawing::new(1e9, f64::NAN).png().unwrap()[..8], *b"\x89PNG\r\n\x1a\n");
    }

    #[test]
    fn strokes_do_not_shoot_past_sharp_corners() {
        let mut d = Drawing::new(100.0, 100.0);
        d.path((0..40).map(|i| (50.0 + f64::from(i) * 0.1, if i % 2 == 0 { 30.0 } else { 70.0 })).collect(), BLUE, 2.0);
        let pixels = d.pixels().unwrap();
        let inked: Vec<usize> = (0..100).filter(|y| pixels[y * 300..][..300].iter().any(|&c| c < 250)).collect();
        assert!(inked.first() >= Some(&28) && inked.last() <= Some(&71), "{inked:?}");
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(fit("short", 10.0, 100.0), "short");
        let cut = fit(&"long ".repeat(100_000), 10.0, 100.0);
        assert!(cut.ends_with('…') && font::width(&cut, 10.0) <= 100.0 && cut.len() > 10, "{cut}");
        assert_eq!(fit("anything", 10.0, 0.0), "…");
    }
}
