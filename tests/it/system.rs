//! What the system does: other writers, pipes, links, a full disk, too little memory, no threads.

use std::path::{Path, PathBuf};

use gradus::io::Archive;
use gradus::prelude::*;

use crate::child;
use crate::files::{Folder, alone, compiled, model, silent};
use crate::hostile::signed;

/// A limit on the length of files stands for a disk that is full: the process that has it can write half a kilobyte or one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file_whole() {
    let table = iris();
    let run = |path: &Path, background: bool, epochs: usize| {
        let checkpoint = Checkpoint::new(path).background(background);
        compiled(4).fit(&table.x, &table.y, &silent().epochs(epochs).checkpoint(&checkpoint))
    };
    if let Some(task) = child::task() {
        let (what, path) = task.split_once(' ').unwrap();
        let result = match what {
            "save" => model::<f32>(2).save(path),
            background => run(Path::new(path), background == "true", 5).map(|_| ()),
        };
        let error = result.unwrap_err().to_string();
        assert!(error.contains("m.safetensors: cannot write: File too large"), "{error}");
        assert!(error.contains("the file before it, if any, is whole: make room"), "{error}");
        return;
    }
    let _alone = alone();
    let folder = Folder::new("full");
    let path = folder.path("m.safetensors");
    let fails = |what: &str| {
        let before = std::fs::read(&path).unwrap();
        let task = format!("{what} {}", path.display());
        let limits = "trap '' XFSZ; ulimit -f 1;";
        child::ran(child::limited(a_full_disk_leaves_the_old_file_whole, &task, limits).spawn().unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left behind");
    };
    model::<f32>(1).save(&path).unwrap();
    fails("save");

    // The same in the midst of a run, in the background and not.
    for background in [true, false] {
        std::fs::remove_file(&path).unwrap();
        run(&path, background, 2).unwrap();
        fails(&background.to_string());
        let mut whole = compiled(4);
        let history = whole.fit(&table.x, &table.y, &silent().epochs(5)).unwrap();
        let (checkpoint, mut rest) = (Checkpoint::new(&path), compiled(4));
        assert_eq!(rest.fit(&table.x, &table.y, &silent().epochs(5).checkpoint(&checkpoint)).unwrap(), history);
        assert_eq!(rest.params(), whole.params());
    }
}

#[test]
fn folders_that_cannot_be_written() {
    let _alone = alone();
    let folder = Folder::new("read_only");
    std::fs::write(folder.path("file"), b"x").unwrap();
    for path in
        [folder.path("none/m.safetensors"), folder.path("file/m.safetensors"), PathBuf::from("/proc/m.safetensors")]
    {
        let error = model::<f32>(1).save(&path).unwrap_err().to_string();
        assert!(error.contains("cannot write: ") && error.contains("check the folder and its permissions"), "{error}");
        let checkpoint = Checkpoint::new(&path);
        let table = iris();
        let how = silent().epochs(3).checkpoint(&checkpoint);
        let mut model = compiled(1);
        let before = model.params().clone();
        let result = model.fit(&table.x, &table.y, &how);
        if path.starts_with(folder.path("none")) {
            // A run's folder is made.
            assert!(result.is_ok() && path.is_file());
        } else {
            assert!(result.unwrap_err().to_string().contains("cannot write: "));
            assert_eq!(model.params(), &before, "known before the first step");
        }
    }
    assert!(Model::load(&folder.0).unwrap_err().to_string().contains("no regular file"));
}

/// What a call returns; it must not wait for anyone.
fn at_once<R: Send + 'static>(what: &str, call: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(call()));
    done.recv_timeout(std::time::Duration::from_secs(60)).unwrap_or_else(|e| panic!("{what}: {e}"))
}

#[cfg(unix)]
fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&std::fs::symlink_metadata(path).unwrap().file_type())
}

#[cfg(unix)]
type Call = Box<dyn FnOnce(PathBuf) -> Result<(), Error> + Send>;

#[cfg(unix)]
fn call<R>(f: impl FnOnce(PathBuf) -> Result<R, Error> + Send + 'static) -> Call {
    Box::new(move |path| f(path).map(|_| ()))
}

/// Everything that opens a file to read it.
#[cfg(unix)]
fn readers() -> Vec<(&'static str, Call)> {
    vec![
        ("load", call(Model::load)),
        ("load_weights", call(|path| model::<f32>(1).load_weights(path))),
        ("resume", call(|path| compiled(1).resume(path))),
        ("Archive", call(Archive::open)),
        ("npy", call(gradus::io::read_npy::<f32>)),
        ("idx", call(read_idx::<f32>)),
        ("IdxSource", call(|path| IdxSource::open(&path, &path))),
        #[cfg(feature = "csv")]
        ("csv", call(|path| Csv::default().read::<f32>(path))),
        #[cfg(feature = "csv")]
        ("csv stream", call(|path| Csv::default().stream::<f32>(path))),
        #[cfg(feature = "npz")]
        ("npz", call(gradus::io::read_npz::<f32>)),
        #[cfg(feature = "keras")]
        ("keras", call(Model::load_keras)),
        #[cfg(feature = "image")]
        ("image", call(|path| read_image::<f32>(path, 3))),
    ]
}

/// Everything that writes one; the path's ending is `png` for pictures.
#[cfg(unix)]
fn writers() -> Vec<(&'static str, Call)> {
    fn logged(path: PathBuf, append: bool) -> Result<(), Error> {
        let mut logger = CsvLogger::new(path).append(append);
        compiled(1).fit_with(&iris().x, &iris().y, &silent().epochs(1), &mut [&mut logger]).map(|_| ())
    }
    vec![
        ("save", call(|path| model::<f32>(1).save(path))),
        ("save_checkpoint", call(|path| compiled(1).save_checkpoint(path))),
        (
            "Checkpoint",
            call(|path| {
                let checkpoint = Checkpoint::new(path);
                compiled(1).fit(&iris().x, &iris().y, &silent().epochs(1).checkpoint(&checkpoint))
            }),
        ),
        (
            "ModelCheckpoint",
            call(|path| {
                let mut each = ModelCheckpoint::new(path);
                compiled(1).fit_with(&iris().x, &iris().y, &silent().epochs(1), &mut [&mut each])
            }),
        ),
        ("CsvLogger", call(|path| logged(path, false))),
        ("CsvLogger that appends", call(|path| logged(path, true))),
        ("npy", call(|path| gradus::io::write_npy(path, &iris().x))),
        #[cfg(feature = "npz")]
        ("npz", call(|path| gradus::io::write_npz(path, &[("x", &iris().x)]))),
        #[cfg(feature = "image")]
        ("image", call(|path| save_image(&Tensor::<f32>::zeros([2, 2, 1]), path))),
        #[cfg(feature = "plot")]
        ("picture", call(|path| gradus::plot::Picture::save(&HeatMap::new(&Tensor::from([[1.0f32, 2.0]]))?, path))),
    ]
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = Folder::new("irregular");
    let fifo = folder.path("pipe.png");
    pipe(&fifo);
    std::fs::create_dir(folder.path("folder.png")).unwrap();
    // A link that leads to a pipe is one too.
    std::os::unix::fs::symlink("pipe.png", folder.path("link.png")).unwrap();
    // A device, over which a program with all rights could write.
    let device = folder.path("device.png");
    std::os::unix::fs::symlink("/dev/full", &device).unwrap();
    for name in ["pipe.png", "folder.png", "link.png", "device.png"] {
        for (what, call) in readers().into_iter().chain(writers()) {
            let path = folder.path(name);
            let error = at_once(what, move || call(path)).err();
            let text = error.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(matches!(error, Some(Error::File { .. })), "{what} on {name}: {text}");
            assert!(text.contains("no regular file") && text.contains(name), "{what}: {text}");
        }
    }
    assert!(is_pipe(&fifo) && folder.path("folder.png").is_dir());
    let kind = std::fs::metadata(&device).unwrap().file_type();
    assert!(std::os::unix::fs::FileTypeExt::is_char_device(&kind));
    let names = std::fs::read_dir(&folder.0).unwrap().count();
    assert_eq!(names, 4, "nothing else is left in the folder");
}

#[cfg(unix)]
#[test]
fn links_stay_and_modes_are_kept() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let folder = Folder::new("links");
    std::fs::create_dir(folder.path("models")).unwrap();
    let (file, link, chain) = (folder.path("models/a"), folder.path("link"), folder.path("chain"));
    symlink("models/a", &link).unwrap();
    symlink(&link, &chain).unwrap();
    let is_link = |path: &Path| std::fs::symlink_metadata(path).unwrap().is_symlink();
    // A link to nothing makes what it leads to.
    model::<f32>(1).save(&chain).unwrap();
    assert!(is_link(&link) && is_link(&chain) && std::fs::symlink_metadata(&file).unwrap().is_file());
    for mode in [0o600, 0o640, 0o666, 0o444, 0o777] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let before = std::fs::metadata(&file).unwrap();
        for (i, path) in [&file, &link, &chain].into_iter().enumerate() {
            model::<f32>(i as u64).save(path).unwrap();
            let after = std::fs::metadata(&file).unwrap();
            assert_eq!((after.mode() & 0o7777, after.uid(), after.gid()), (mode, before.uid(), before.gid()));
            assert_eq!(Model::load(&link).unwrap().params(), model::<f32>(i as u64).params());
        }
    }
    assert!(is_link(&link) && is_link(&chain));
    // A circle of links is an error.
    symlink("b", folder.path("a")).unwrap();
    symlink("a", folder.path("b")).unwrap();
    assert!(matches!(model::<f32>(1).save(folder.path("a")), Err(Error::Write { .. })));
    assert_eq!(std::fs::read_dir(folder.path("models")).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn long_names_and_files_named_like_temporary_ones() {
    let folder = Folder::new("names");
    for letters in [252, 255] {
        let path = folder.path(&"m".repeat(letters));
        model::<f32>(1).save(&path).unwrap();
        model::<f32>(2).save(&path).unwrap();
        assert_eq!(Model::load(&path).unwrap().params(), model::<f32>(2).params());
    }
    // Names that temporary files might have are the user's.
    let [users, fifo, link] = ["a.tmp", "b.tmp", "c.tmp"].map(|name| folder.path(name));
    std::fs::write(&users, "mine").unwrap();
    std::fs::write(folder.path("other"), "mine too").unwrap();
    pipe(&fifo);
    std::os::unix::fs::symlink("other", &link).unwrap();
    for name in ["a", "b", "c"] {
        let path = folder.path(name);
        at_once("save", move || model::<f32>(3).save(path)).unwrap();
        assert_eq!(Model::load(folder.path(name)).unwrap().params(), model::<f32>(3).params());
    }
    assert_eq!(std::fs::read(&users).unwrap(), b"mine");
    assert_eq!(std::fs::read(folder.path("other")).unwrap(), b"mine too");
    assert!(is_pipe(&fifo));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 9);
}

/// Saves models to one path again and again, from two threads.
fn write_again_and_again(path: &Path, first: u64) {
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let model = model::<f32>(first + thread);
                (0..40).for_each(|_| model.save(path).unwrap());
            });
        }
    });
}

#[test]
fn writers_of_one_path() {
    if let Some(task) = child::task() {
        let (first, path) = task.split_once(' ').unwrap();
        return write_again_and_again(Path::new(path), first.parse().unwrap());
    }
    let folder = Folder::new("writers");
    let path = folder.path("model");
    model::<f32>(0).save(&path).unwrap();
    let task = |first: u64| format!("{first} {}", path.display());
    let start = |first| child::again(writers_of_one_path, &task(first)).spawn().unwrap();
    let mut children: Vec<_> = [0, 2].map(start).into();
    let mut opened = 0;
    // Each file that is there is one of those that were written, whole.
    let models: Vec<_> = (0..6).map(|seed| model::<f32>(seed).params().clone()).collect();
    std::thread::scope(|scope| {
        let own = scope.spawn(|| write_again_and_again(&path, 4));
        while !own.is_finished() || children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
            assert!(models.contains(Model::load(&path).unwrap().params()));
            opened += 1;
        }
    });
    // Every save succeeds.
    children.into_iter().for_each(|child| {
        child::ran(child);
    });
    assert!(opened > 10, "{opened}");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
}

/// A model's file of a few hundred bytes with these layers over `[1]`, which have no weights.
fn weightless(layers: &str) -> Vec<u8> {
    signed(&format!("{{\"format\":1,\"seed\":0,\"input\":[1],\"layers\":[{layers}]}}"), "", 0)
}

#[cfg(target_os = "linux")]
#[test]
fn too_much_memory_is_an_error() {
    if child::task().is_none() {
        // A gigabyte of addresses, as a small container has.
        let mut child = child::limited(too_much_memory_is_an_error, "", "ulimit -v 1000000;");
        child::ran(child.env("GRADUS_THREADS", "1").spawn().unwrap());
        return;
    }
    let memory = |result: Result<(), Error>, what: &str| {
        let error = result.expect_err(what);
        assert!(matches!(error.root(), Error::Memory { .. }), "{what}: {error}");
        assert!(error.to_string().contains("more memory than there is"), "{error}");
    };
    let built = |layer: Dense| Sequential::new([100_000]).add(layer).build(0).map(|_| ());
    memory(built(Dense::new(100_000)), "a large layer");
    memory(built(Dense::new(100_000).kernel_initializer(Init::Zeros)), "a large layer of zeros");
    // Its weights fit, what they are drawn in does not.
    memory(built(Dense::new(1000).kernel_initializer(Init::Orthogonal { gain: 1.0 })), "an orthogonal one");
    // Weights that fit, with gradients and moments that do not.
    let layer = Dense::new(8000).kernel_initializer(Init::Zeros);
    let mut model = Sequential::new([8000]).add(layer).build(0).unwrap();
    memory(model.compile(Adam::default(), MeanSquaredError::default(), ()), "compile");
    drop(model);
    // A small file that asks for much at its first prediction.
    let repeat = |n: usize| format!("{{\"class\":\"RepeatVector\",\"config\":{{\"n\":{n}}}}}");
    let flat = "{\"class\":\"Flatten\",\"config\":{}}";
    let file = weightless(&format!("{},{flat},{}", repeat(1 << 24), repeat(8)));
    assert!(file.len() < 450, "{}", file.len());
    let model = Model::load_bytes(&file).unwrap();
    let x = Tensor::zeros([8, 1]);
    memory(model.predict(&x).map(|_| ()), "predict");
    memory(model.predictor().unwrap().predict_into(&x, &mut Tensor::default()), "predict_into");
    memory(model.activations(&x).map(|_| ()), "activations");
    assert!(Model::load_bytes(&weightless(&repeat(1 << 31))).unwrap_err().root().is_shape());
    // Training on batches that are too large.
    let layers = Sequential::new([1]).add(RepeatVector::new(1 << 22)).add(Flatten::new()).add(Dense::new(1));
    let mut model = layers.build(0).unwrap();
    model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
    let how = silent().epochs(1).batch_size(64);
    memory(model.fit(&Tensor::zeros([64, 1]), &Tensor::zeros([64, 1]), &how).map(|_| ()), "fit");
    memory(Tensor::try_full([1 << 28], 0.0f32).map(|_| ()), "a tensor");
    let endless = FromFn::new([1 << 20], [1], None, |_, _, _: &mut [f32], _: &mut [f32]| Ok(())).unwrap();
    memory(endless.batch(1 << 10).load(0, 0, &mut Batch::default()), "a batch");
    // Threads that the system does not give, and what was asked for before still works.
    let error = gradus::set_threads(1000).unwrap_err().to_string();
    assert!(error.contains("a number of threads that the system gives"), "{error}");
    assert_eq!(Sequential::new([1]).add(Dense::new(1)).build(0).unwrap().predict(&x).unwrap().samples(), 8);
}

#[cfg(target_os = "linux")]
#[test]
fn one_thread_where_no_pool_can_be_had() {
    let predict = || {
        let model = Sequential::new([256]).add(Dense::new(512)).build(7).unwrap();
        model.predict(&Tensor::from_fn([256, 256], |i| (i % 19) as f32)).unwrap()
    };
    let sum = |y: &Tensor| y.iter().fold(0u64, |sum, v| sum.wrapping_mul(31).wrapping_add(u64::from(v.to_bits())));
    if let Some(expected) = child::task() {
        // Stacks that no address space has room for.
        assert!(std::thread::Builder::new().spawn(|| ()).is_err());
        assert!(gradus::set_threads(2).is_err());
        assert_eq!(sum(&predict()).to_string(), expected);
        assert!(gradus::set_threads(2).is_err());
        assert_eq!(sum(&predict()).to_string(), expected);
        return;
    }
    let expected = sum(&predict()).to_string();
    let mut child = child::again(one_thread_where_no_pool_can_be_had, &expected);
    child::ran(child.env("RUST_MIN_STACK", (1u64 << 47).to_string()).spawn().unwrap());
}
