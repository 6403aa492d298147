//! Pictures: well-formed, complete, of the size asked for, whatever the names and numbers.

use gradus::prelude::*;

/// A folder of its own for one test, gone at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gradus_plots_{name}_{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const HOSTILE: &str = "<a & \"b\"> 'c' ]]> <!-- \u{0}\u{1b}[2J\n\u{FFFF} 犬🐕";

/// The same as far as a layer may be called so.
fn layer_name() -> String {
    HOSTILE.chars().filter(|c| !c.is_control() && *c != '/').collect()
}

fn model() -> Model {
    Sequential::new([4])
        .add_named(&layer_name(), Dense::new(8).activation(Activation::Relu))
        .add(Residual::new().add(Dense::new(8)))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(1)
        .unwrap()
}

fn trained(epochs: usize) -> (Model, History) {
    let iris = iris();
    let mut model = model();
    model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    // Not a split that anyone should make, but one whose curves fall and rise.
    let [(x, y), held_out] = [0..120, 120..150].map(|r| (iris.x.rows(r.clone()).unwrap(), iris.y.rows(r).unwrap()));
    let how = Fit::default().epochs(epochs).validation_data(&held_out.0, &held_out.1).verbose(Verbose::Silent);
    let history = model.fit(&x, &y, &how).unwrap();
    (model, history)
}

/// Checks that a text is one XML element with nested, closed elements and no stray signs; returns its texts.
fn texts(svg: &str) -> Vec<String> {
    let (mut open, mut texts, mut rest) = (Vec::new(), Vec::new(), svg);
    let mut roots = 0;
    while let Some(at) = rest.find('<') {
        let text = rest[..at].trim();
        assert!(!text.contains('>') && (text.is_empty() || !open.is_empty()), "{text}");
        for (i, _) in text.match_indices('&') {
            assert!(["&lt;", "&gt;", "&amp;", "&quot;", "&apos;"].iter().any(|e| text[i..].starts_with(e)), "{text}");
        }
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{FFFF}'), "{text:?}");
        if !text.is_empty() {
            let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
            texts.push(plain.replace("&amp;", "&"));
        }
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else {
            roots += usize::from(open.is_empty());
            if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().unwrap());
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && roots == 1 && rest.trim().is_empty(), "{open:?} {rest}");
    texts
}

/// Width, height and pixels of a PNG.
fn pixels(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    (info.width, info.height, pixels)
}

/// Both forms of a picture are whole: well-formed, with these texts; a white ground with something on it, that does not touch
/// the edge.
fn check(picture: &impl Picture, expected: &[&str]) {
    let texts = texts(&picture.to_svg());
    for text in expected {
        assert!(texts.iter().any(|t| t == text), "{text:?} in {texts:?}");
    }
    let (w, h, pixels) = pixels(&picture.to_png().unwrap());
    let svg = picture.to_svg();
    assert!(svg.starts_with(&format!("<svg width=\"{w}\" height=\"{h}\" ")), "{w} {h}");
    let rows: Vec<&[u8]> = pixels.chunks_exact(w as usize * 3).collect();
    let dark = pixels.chunks_exact(3).filter(|p| p.iter().any(|&c| c < 200)).count();
    assert!(dark > 100, "{dark}");
    assert!(rows[0].iter().chain(rows[rows.len() - 1]).all(|&c| c == 255), "something touches the upper or lower edge");
    assert!(rows.iter().all(|r| r[..3] == [255; 3] && r[r.len() - 3..] == [255; 3]), "something touches a side");
}

#[test]
fn curves() {
    let (_, history) = trained(8);
    let curves = Curves::of(&history).title("Iris & co").size(800, 400);
    check(&curves, &["Iris & co", "loss", "val_loss", "accuracy", "val_accuracy", "epoch", "1", "8"]);
    // A curve each of four figures, with as many points as epochs.
    let svg = curves.to_svg();
    let lines = svg.split("<polyline").filter(|p| p.contains("stroke-width=\"18\""));
    let points =
        lines.map(|p| p.split("points=\"").nth(1).unwrap().split('"').next().unwrap().split_whitespace().count());
    let counts: Vec<_> = points.filter(|&n| n > 2).collect();
    assert_eq!(counts, [8; 4]);
    let (w, h, _) = pixels(&curves.to_png().unwrap());
    assert_eq!((w, h), (800, 400));
    check(&curves.clone().log_scale(true), &["0.1", "1"]);
    let (_, one) = trained(1);
    check(&Curves::of(&one), &["loss", "epoch", "1"]);
    check(&Curves::of(&History::default()), &["no epoch to draw"]);
}

#[test]
fn bars_heat_maps_and_confusion() {
    let bars = Bars::new(&["first", HOSTILE], &[0.5, -0.25]).unwrap().title(HOSTILE).axis("what");
    check(&bars, &["first", "what", "0.500", "−0.250"]);
    let map = HeatMap::new(&Tensor::from([[1.0f32, 2.0], [3.0, 4.0]])).unwrap().title("map");
    check(
        &map.row_names(&["up", "down"]).unwrap().column_names(&["l", "r"]).unwrap(),
        &["map", "up", "down", "l", "r", "3.00"],
    );
    let matrix = ConfusionMatrix::new(&[0, 0, 0, 1], &[0, 0, 1, 1], 2).unwrap();
    let plot = ConfusionPlot::of(&matrix).title("taken for");
    check(&plot, &["taken for", "true class", "predicted class", "67%", "33%", "100%", "2"]);
    let named = matrix.clone().class_names(&["x".repeat(5000).as_str(), HOSTILE]).unwrap();
    check(&ConfusionPlot::of(&named), &["67%"]);
    let classes: Vec<_> = (0..200).collect();
    let many = ConfusionMatrix::new(&classes, &classes, 200).unwrap();
    check(&ConfusionPlot::of(&many), &["true class"]);
}

#[test]
fn models_and_histograms() {
    let (model, _) = trained(1);
    let name = format!("{} (Dense)", layer_name().replace('\u{FFFF}', " "));
    check(
        &ModelPlot::of(&model).unwrap().title("model"),
        &["model", &name, "residual (Residual)", "[n, 3] · 27 parameters"],
    );
    check(&ModelPlot::of(&model).unwrap().size(300, 200), &[&name]);
    let x = &iris().x;
    check(&Histograms::of_weights(&model).unwrap().title("weights"), &["weights", "residual/dense/kernel", "count"]);
    check(&Histograms::of_activations(&model, x).unwrap(), &["residual", "dense", "value"]);
    let none = Sequential::new([2]).add(Activation::Relu).build(0).unwrap();
    assert!(Histograms::of_weights(&none).is_err());
    assert!(Histograms::of_activations(&none, &Tensor::zeros([0, 2])).is_err());
    assert!(Histograms::of_activations(&none, &Tensor::zeros([1, 3])).unwrap_err().is_shape());
}

#[test]
fn any_size_and_any_length() {
    let long = "very long ".repeat(10_000);
    for (w, h) in [(0, 0), (100, 100), (4096, 150), (u32::MAX, 1)] {
        let bars =
            Bars::new(&[long.as_str(), "b"], &[1e300, -1e-300]).unwrap().title(long.as_str()).axis(long.as_str());
        texts(&bars.clone().size(w, h).to_svg());
        let (wide, high, _) = pixels(&bars.size(w, h).to_png().unwrap());
        assert_eq!((wide, high), (w.clamp(100, 4096), h.clamp(100, 4096)));
        let map = HeatMap::new(&Tensor::<f32>::zeros([3, 700])).unwrap().size(w, h);
        pixels(&map.to_png().unwrap());
        let model = model();
        pixels(&ModelPlot::of(&model).unwrap().title(long.as_str()).size(w, h).to_png().unwrap());
        pixels(&Histograms::of_weights(&model).unwrap().size(w, h).to_png().unwrap());
    }
}

#[test]
fn files() {
    let folder = Folder::new("files");
    let bars = Bars::new(&["a"], &[1.0]).unwrap();
    let (svg, png) = (folder.0.join("bars.svg"), folder.0.join("bars.PNG"));
    bars.save(&svg).unwrap();
    bars.save(&png).unwrap();
    assert_eq!(std::fs::read_to_string(&svg).unwrap(), bars.to_svg());
    assert_eq!(std::fs::read(&png).unwrap(), bars.to_png().unwrap());
    for name in ["bars.jpg", "bars", "svg", ""] {
        let error = bars.save(folder.0.join(name)).unwrap_err().to_string();
        assert!(error.contains(".svg or .png"), "{error}");
    }
    let error = bars.save(folder.0.join("no/such/folder.svg")).unwrap_err().to_string();
    assert!(error.contains("cannot write"), "{error}");
    // A folder stands where the file would: the old one is kept, and nothing is left beside it.
    std::fs::create_dir(folder.0.join("taken.svg")).unwrap();
    assert!(bars.save(folder.0.join("taken.svg")).is_err());
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 3);
}

#[test]
fn the_same_bits_every_time() {
    let (_, history) = trained(3);
    let curves = Curves::of(&history);
    assert!(curves.to_svg() == curves.to_svg() && curves.to_png().unwrap() == curves.to_png().unwrap());
}
