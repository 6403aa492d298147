//! Pictures and folders of them: what is read, what is refused, and the same bits for any number of threads.

use std::path::{Path, PathBuf};

use gradus::prelude::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gradus_images_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn picture(height: usize, width: usize, channels: usize, seed: usize) -> Tensor<f32> {
    Tensor::from_fn([height, width, channels], |i| ((i * 37 + seed * 11) % 256) as f32)
}

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map(|e| e.to_string()).expect("an error")
}

#[test]
fn written_and_read() {
    let folder = Folder::new("written");
    for channels in [1, 3, 4] {
        let x = picture(5, 7, channels, channels);
        let path = folder.path(&format!("{channels}.png"));
        save_image(&x, &path).unwrap();
        assert_eq!(read_image::<f32>(&path, channels).unwrap(), x);
    }
    // Grey as RGB has three equal channels; JPEG is near the original.
    let grey = picture(5, 7, 1, 1);
    let rgb: Tensor = read_image(folder.path("1.png"), 3).unwrap();
    assert!(rgb.as_slice().chunks(3).zip(&grey).all(|(c, g)| c == [*g; 3]));
    let smooth = Tensor::from_fn([16, 16, 3], |i| (i / 3 % 16 * 8) as f32);
    save_image(&smooth, folder.path("s.jpg")).unwrap();
    let read: Tensor = read_image(folder.path("s.jpg"), 3).unwrap();
    assert!(read.iter().zip(&smooth).all(|(a, b)| (a - b).abs() < 8.0));
    // Values beyond the range are cut off.
    save_image(&Tensor::from([[[-5.0f32], [300.0]]]), folder.path("cut.png")).unwrap();
    assert_eq!(read_image::<f32>(folder.path("cut.png"), 1).unwrap().as_slice(), &[0.0, 255.0]);
}

#[test]
fn resized() {
    let x: Tensor = resize_image(&Tensor::from([[[0.0f32], [0.0], [8.0], [8.0]]]), [1, 2]).unwrap();
    assert_eq!(x.dims(), &[1, 2, 1]);
    assert!(x.as_slice()[0] < 2.0 && x.as_slice()[1] > 6.0);
    assert!(message(resize_image(&picture(2, 2, 1, 0), [0, 3])).contains("size must be from 1 to 32768"));
    assert!(
        message(resize_image(&Tensor::<f32>::zeros([2, 2]), [1, 1])).contains("an image [height, width, channels]")
    );
}

fn folder_of_classes(name: &str) -> Folder {
    let folder = Folder::new(name);
    for (class, names) in [("b", ["2.png", "1.jpg"]), ("a", ["x.PNG", "y.jpeg"])] {
        for (i, file) in names.iter().enumerate() {
            let seed = i + class.len();
            save_image(&picture(9 + i, 12, 3, seed), folder.path(&format!("{class}/{}", file.to_lowercase()))).unwrap();
        }
    }
    std::fs::write(folder.path("a/notes.txt"), "no picture").unwrap();
    std::fs::write(folder.path("a/.hidden.png"), "no picture").unwrap();
    std::fs::write(folder.path("readme.md"), "no class").unwrap();
    folder
}

#[test]
fn a_folder_of_classes() {
    let folder = folder_of_classes("classes");
    let photos = ImageFolder::open(&folder.0, [6, 4], 3).unwrap();
    assert_eq!(photos.class_names(), ["a", "b"]);
    assert_eq!(photos.files().iter().map(|(_, class)| *class).collect::<Vec<_>>(), [0, 0, 1, 1]);
    let table = photos.load().unwrap();
    assert_eq!((table.x.dims(), table.y.as_slice()), ([4, 6, 4, 3].as_slice(), [0.0, 0.0, 1.0, 1.0].as_slice()));
    // One alone is that one of all, and a batch comes out the same by any number of workers.
    let (mut x, mut y) = (vec![0.0f32; 72], vec![0.0]);
    photos.read(0, 2, &mut x, &mut y).unwrap();
    assert_eq!((x.as_slice(), y[0]), (table.x.row(2), 1.0));
    let augment = Augment::new().rotation(30.0).flip_horizontal().brightness(0.2);
    let batches = |workers: usize| {
        let data = photos.clone().augment(augment.clone(), 5).shuffle(5).batch(3).prefetch(workers).unwrap();
        let mut batch = Batch::<f32>::default();
        (0..2).map(|i| data.load(1, i, &mut batch).map(|()| batch.clone()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(batches(1), batches(3));
}

#[test]
fn what_is_refused() {
    let folder = Folder::new("refused");
    let open = |path: &Path| message(ImageFolder::open(path, [8, 8], 3));
    assert!(
        open(&folder.0).contains("a folder without classes; put the pictures of each class into a folder of its own")
    );
    assert!(open(&folder.0.join("nowhere")).contains("nowhere"));
    folder.path("cat/x");
    assert!(open(&folder.0).contains("a class without pictures"));
    std::fs::write(folder.path("cat/1.png"), "<html>").unwrap();
    assert!(open(&folder.0).contains("the file is a web page, not a PNG or JPEG picture"), "{}", open(&folder.0));
    std::fs::write(folder.path("cat/1.png"), b"GIF89a\x01\0\x01\0").unwrap();
    assert!(open(&folder.0).contains("a GIF picture, not a PNG or JPEG picture; convert it to PNG"));
    std::fs::write(folder.path("cat/1.png"), []).unwrap();
    assert!(open(&folder.0).contains("no PNG or JPEG picture"));
    assert!(message(ImageFolder::open(&folder.0, [8, 0], 3)).contains("size must be from 1 to 32768"));
    assert!(
        message(ImageFolder::open(&folder.0, [8, 8], 2))
            .contains("channels must be 1 (grey), 3 (RGB) or 4 (RGBA), got 2")
    );
    assert!(message(save_image(&picture(2, 2, 3, 0), folder.path("x.gif"))).contains("ends in .png"));
    assert!(message(save_image(&picture(2, 2, 4, 0), folder.path("x.jpg"))).contains("1 or 3 channels for JPEG"));
    for bad in [f32::NAN, f32::INFINITY] {
        let x = Tensor::from([[[1.0], [bad]]]);
        assert!(message(save_image(&x, folder.path("nan.png"))).contains(&format!("x has {bad} in row 0, column 1")));
        assert!(!folder.0.join("nan.png").exists());
    }
    let nowhere = folder.0.join("no/where.png");
    assert!(message(save_image(&picture(2, 2, 3, 0), nowhere)).contains("cannot write"));
}

/// A picture cut short or with flipped bytes is an error or a picture, never a panic; one that claims to be huge takes no memory.
#[test]
fn damaged_and_huge_pictures() {
    let folder = Folder::new("damaged");
    for name in ["cat/1.png", "cat/1.jpg"] {
        let path = folder.path(name);
        save_image(&picture(20, 30, 3, 1), &path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Without its end a picture is none, and that is found when the folder is opened.
        for cut in (0..whole.len()).step_by(37).chain([whole.len() / 2, whole.len() - 2, whole.len() - 1]) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(ImageFolder::open(&folder.0, [8, 8], 3).is_err(), "{cut} of {}", whole.len());
            let error = message(read_image::<f32>(&path, 3));
            let known = ["its end is missing", "the picture cannot be read", "no PNG or JPEG picture"];
            assert!(known.iter().any(|k| error.contains(k)), "{error}");
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = message(read_image::<f32>(&path, 3));
        assert!(
            error.ends_with(
                "the picture cannot be read: its end is missing; the file is cut short; get it again, or take it out"
            ),
            "{error}"
        );
        // What stands behind the end is no matter.
        std::fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
        assert!(ImageFolder::open(&folder.0, [8, 8], 3).unwrap().load().is_ok());
        for i in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[i] ^= 1 << (i % 8);
            std::fs::write(&path, &bytes).unwrap();
            let _ = read_image::<f32>(&path, 3);
        }
        std::fs::remove_file(&path).unwrap();
    }
    // A JPEG that was cut and given an end: most of its rows would be filled up.
    for channels in [1, 3] {
        let path = folder.path("cat/2.jpg");
        save_image(&picture(50, 37, channels, 3), &path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        read_image::<f32>(&path, 3).unwrap();
        let scan = whole.windows(2).rposition(|w| w == [0xFF, 0xDA]).unwrap() + 20;
        for part in [0.0, 0.1, 0.5, 0.9] {
            let cut = scan + ((whole.len() - scan) as f64 * part) as usize;
            std::fs::write(&path, [&whole[..cut], &[0xFF, 0xD9]].concat()).unwrap();
            let error = message(read_image::<f32>(&path, 3));
            assert!(error.contains("the picture cannot be read: its data end before its last rows"), "{part}: {error}");
        }
        std::fs::remove_file(&path).unwrap();
    }
    // A PNG whose header says 2³⁰ times 2³⁰ pixels, with a right checksum.
    let mut header = b"IHDR".to_vec();
    header.extend([0x40, 0, 0, 0, 0x40, 0, 0, 0, 8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&header);
    png.extend(crc32fast::hash(&header).to_be_bytes());
    std::fs::write(folder.path("cat/huge.png"), png).unwrap();
    let error = message(ImageFolder::open(&folder.0, [8, 8], 3));
    assert!(error.contains("pixels"), "{error}");
}

/// A PNG of one row, as the file has it.
fn png(width: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8], palette: &[u8], alpha: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, 1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette);
    }
    if !alpha.is_empty() {
        encoder.set_trns(alpha);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

/// Values of Pillow 13, `Image.open(file).convert(mode)` for the modes L, RGB and RGBA; of 16 bits of grey the upper 8 count, as
/// TensorFlow and, for colours, Pillow have it.
#[test]
fn channels_as_pillow_has_them() {
    use png::{BitDepth, ColorType};
    let folder = Folder::new("channels");
    let words = |values: &[u16]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
    let colors = [255, 0, 0, 200, 100, 50, 10, 250, 30];
    let with_alpha = |alpha: [u8; 3]| (0..3).flat_map(|i| [&colors[3 * i..][..3], &alpha[i..][..1]].concat()).collect();
    let greys = |values: &[u8], alpha: &[u8]| {
        let rgb = values.iter().flat_map(|v| [*v; 3]).collect::<Vec<u8>>();
        let rgba = values.iter().zip(alpha).flat_map(|(v, a)| [*v, *v, *v, *a]).collect::<Vec<u8>>();
        (values.to_vec(), rgb, rgba)
    };
    let many = |values: &[u8]| greys(values, &[255; 8][..values.len()]);
    type Channels = (Vec<u8>, Vec<u8>, Vec<u8>);
    let cases: Vec<(&str, Vec<u8>, Channels)> = vec![
        (
            "rgb",
            png(3, ColorType::Rgb, BitDepth::Eight, &colors, &[], &[]),
            (vec![76, 124, 153], colors.to_vec(), with_alpha([255; 3])),
        ),
        (
            "rgba",
            png(3, ColorType::Rgba, BitDepth::Eight, &[255, 0, 0, 0, 200, 100, 50, 128, 10, 250, 30, 255], &[], &[]),
            (vec![76, 124, 153], colors.to_vec(), with_alpha([0, 128, 255])),
        ),
        (
            "palette",
            png(3, ColorType::Indexed, BitDepth::Eight, &[0, 1, 2], &colors, &[]),
            (vec![76, 124, 153], colors.to_vec(), with_alpha([255; 3])),
        ),
        (
            "palette of 4 bits",
            png(3, ColorType::Indexed, BitDepth::Four, &[0x01, 0x20], &colors, &[]),
            (vec![76, 124, 153], colors.to_vec(), with_alpha([255; 3])),
        ),
        (
            "palette with alpha",
            png(3, ColorType::Indexed, BitDepth::Eight, &[0, 1, 2], &colors, &[0, 128]),
            (vec![76, 124, 153], colors.to_vec(), with_alpha([0, 128, 255])),
        ),
        (
            "rgb of 16 bits",
            png(
                3,
                ColorType::Rgb,
                BitDepth::Sixteen,
                &words(&[65535, 0, 0, 0x1280, 0x34ff, 0x5600, 65408, 65407, 32896]),
                &[],
                &[],
            ),
            (
                vec![76, 46, 241],
                vec![255, 0, 0, 18, 52, 86, 255, 255, 128],
                vec![255, 0, 0, 255, 18, 52, 86, 255, 255, 255, 128, 255],
            ),
        ),
        (
            "rgba of 16 bits",
            png(
                2,
                ColorType::Rgba,
                BitDepth::Sixteen,
                &words(&[65535, 0, 0, 0, 0x1280, 0x34ff, 0x5600, 0x80ff]),
                &[],
                &[],
            ),
            (vec![76, 46], vec![255, 0, 0, 18, 52, 86], vec![255, 0, 0, 0, 18, 52, 86, 128]),
        ),
        (
            "grey with alpha of 16 bits",
            png(2, ColorType::GrayscaleAlpha, BitDepth::Sixteen, &words(&[0x12ff, 0, 0xff80, 0x80ff]), &[], &[]),
            greys(&[18, 255], &[0, 128]),
        ),
        (
            "grey with alpha",
            png(2, ColorType::GrayscaleAlpha, BitDepth::Eight, &[100, 0, 200, 128], &[], &[]),
            greys(&[100, 200], &[0, 128]),
        ),
        (
            "grey with one transparent",
            png(3, ColorType::Grayscale, BitDepth::Eight, &[0, 100, 200], &[], &[0, 100]),
            greys(&[0, 100, 200], &[255, 0, 255]),
        ),
        (
            "grey of 16 bits",
            png(6, ColorType::Grayscale, BitDepth::Sixteen, &words(&[0, 255, 256, 32767, 65408, 65535]), &[], &[]),
            many(&[0, 0, 1, 127, 255, 255]),
        ),
        (
            "1 bit",
            png(8, ColorType::Grayscale, BitDepth::One, &[0b1010_0101], &[], &[]),
            many(&[255, 0, 255, 0, 0, 255, 0, 255]),
        ),
        ("2 bits", png(4, ColorType::Grayscale, BitDepth::Two, &[0b0001_1011], &[], &[]), many(&[0, 85, 170, 255])),
        ("4 bits", png(4, ColorType::Grayscale, BitDepth::Four, &[0x0f, 0x5a], &[], &[]), many(&[0, 255, 85, 170])),
    ];
    for (name, bytes, (grey, rgb, rgba)) in cases {
        let path = folder.path("x.png");
        std::fs::write(&path, bytes).unwrap();
        for (channels, expected) in [(1, grey), (3, rgb), (4, rgba)] {
            let x: Tensor = read_image(&path, channels).unwrap();
            let x: Vec<u8> = x.iter().map(|v| *v as u8).collect();
            assert_eq!(x, expected, "{name} in {channels} channels");
        }
    }
    // Grey before it is resized, so that two colours of one brightness stay one.
    std::fs::write(folder.path("c/x.png"), png(2, ColorType::Rgb, BitDepth::Eight, &[255, 0, 0, 76, 76, 76], &[], &[]))
        .unwrap();
    assert_eq!(
        ImageFolder::open(folder.0.join(""), [1, 1], 1).err().map(|e| e.to_string().contains("a picture of no class")),
        Some(true)
    );
    std::fs::remove_file(folder.path("x.png")).unwrap();
    assert_eq!(ImageFolder::open(&folder.0, [1, 1], 1).unwrap().load().unwrap().x.as_slice(), &[76.0]);
}

#[test]
fn a_folder_in_two_parts() {
    let folder = Folder::new("parts");
    for (class, n) in [("cat", 10), ("dog", 20)] {
        for i in 0..n {
            save_image(&picture(4, 4, 1, i), folder.path(&format!("{class}/{i:02}.png"))).unwrap();
        }
    }
    let photos = || ImageFolder::open(&folder.0, [4, 4], 1).unwrap();
    let (train, validation) = photos().split_stratified(0.2, 7).unwrap();
    let counts = |f: &ImageFolder| [0, 1].map(|c| f.files().iter().filter(|(_, class)| *class == c).count());
    assert_eq!((counts(&train), counts(&validation)), ([8, 16], [2, 4]));
    assert_eq!(train.class_names(), validation.class_names());
    let mut all = [train.files(), validation.files()].concat();
    all.sort();
    assert_eq!(all, photos().files());
    assert_eq!(validation.load().unwrap().x.dims(), &[6, 4, 4, 1]);
    let (again, _) = photos().split_stratified(0.2, 7).unwrap();
    assert_eq!(again.files(), train.files());
    let (train, validation) = photos().split(0.5, 7).unwrap();
    assert_eq!((train.files().len(), validation.files().len()), (15, 15));
    assert!(message(photos().split(0.99, 7)).contains("two samples of 30 to train on"));
    // The same pictures as by way of any source.
    let (part, _) = Source::<f32>::split(photos(), 0.5, 7).unwrap();
    let files: Vec<_> = part.positions().iter().map(|&i| photos().files()[i].clone()).collect();
    assert_eq!(files, train.files());
}

#[test]
fn pictures_that_would_be_passed_over() {
    let folder = folder_of_classes("passed_over");
    let open = || message(ImageFolder::open(&folder.0, [8, 8], 3));
    let with = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path(name), bytes).unwrap();
        let error = open();
        std::fs::remove_file(folder.path(name)).unwrap();
        error
    };
    assert!(with("a/z.GIF", b"GIF89a").contains("a picture of a format that is not read; convert it to PNG"));
    let jpeg = std::fs::read(folder.path("b/1.jpg")).unwrap();
    assert!(with("a/photo", &jpeg).contains("a picture under the name of another file; let its name end in .png"));
    assert!(with("a/photo.jfif", &jpeg).contains("under the name of another file"));
    assert!(with("cover.JPG", &jpeg).contains("a picture of no class; put it into the folder of its class"));
    std::fs::write(folder.path("a/Thumbs.db"), b"\xd0\xcf\x11\xe0").unwrap();
    std::fs::write(folder.path("a/inside/more/UPPER.JPG"), &jpeg).unwrap();
    let photos = ImageFolder::open(&folder.0, [8, 8], 3).unwrap();
    assert_eq!(
        photos.files().iter().filter(|(path, class)| path.ends_with("inside/more/UPPER.JPG") && *class == 0).count(),
        1
    );
    std::fs::write(folder.path("a /1.jpg"), &jpeg).unwrap();
    assert!(open().contains("the classes \"a\" and \"a \" differ in white space alone"), "{}", open());
}

/// The bytes of a PNG of so many grey pixels, all black.
fn black(width: u32, height: u32, path: &Path) {
    let file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0; (width as usize).div_ceil(8) * height as usize]).unwrap();
}

#[test]
fn small_files_of_huge_pictures() {
    let folder = Folder::new("huge");
    // 2²⁹ pixels in some hundred kilobytes.
    let path = folder.path("class/bomb.png");
    black(1 << 15, 1 << 14, &path);
    assert!(std::fs::metadata(&path).unwrap().len() < 200_000);
    for channels in [1, 3, 4] {
        let error = message(read_image::<f32>(&path, channels));
        assert!(error.contains("make it smaller"), "{error}");
    }
    let photos = ImageFolder::open(&folder.0, [8, 8], 3).unwrap();
    assert!(message(photos.load()).contains("a picture of 32768 times 16384 pixels"));
    // As large as a grey picture may be, but not with four channels.
    black(1 << 14, 1 << 13, &path);
    assert!(message(read_image::<f32>(&path, 4)).contains("536870912 bytes"));
    black(64, 48, &path);
    let grey = ImageFolder::open(&folder.0, [8, 8], 1).unwrap();
    assert_eq!(grey.load().unwrap().x.as_slice(), &[0.0; 64]);
    // A size that takes gigabytes between, or in the end.
    black(1 << 15, 1, &path);
    let tall = ImageFolder::open(&folder.0, [1 << 14, 1], 1).unwrap();
    assert!(message(tall.load()).contains("make it smaller"));
    assert!(message(ImageFolder::open(&folder.0, [1 << 15, 1 << 14], 1)).contains("size must be of at most"));
}
