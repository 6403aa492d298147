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
    assert!(open(&folder.0).contains("no PNG or JPEG picture"), "{}", open(&folder.0));
    std::fs::write(folder.path("cat/1.png"), []).unwrap();
    assert!(open(&folder.0).contains("no PNG or JPEG picture"));
    assert!(message(ImageFolder::open(&folder.0, [8, 0], 3)).contains("size must be from 1 to 32768"));
    assert!(
        message(ImageFolder::open(&folder.0, [8, 8], 2))
            .contains("channels must be 1 (grey), 3 (RGB) or 4 (RGBA), got 2")
    );
    assert!(message(save_image(&picture(2, 2, 3, 0), folder.path("x.gif"))).contains("ends in .png"));
    assert!(message(save_image(&picture(2, 2, 4, 0), folder.path("x.jpg"))).contains("1 or 3 channels for JPEG"));
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
        for cut in (0..whole.len()).step_by(37) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let opened = ImageFolder::open(&folder.0, [8, 8], 3);
            if let Ok(photos) = opened {
                // The header was whole; a JPEG decoder may fill up what is missing of the picture.
                match photos.load() {
                    Err(error) => assert!(error.to_string().contains("the picture cannot be read"), "{error}"),
                    Ok(_) => assert!(name.ends_with("jpg"), "{cut} of {}", whole.len()),
                }
            }
        }
        for i in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[i] ^= 1 << (i % 8);
            std::fs::write(&path, &bytes).unwrap();
            let _ = read_image::<f32>(&path, 3);
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
