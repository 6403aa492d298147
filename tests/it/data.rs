//! Data from outside: files on disk, and whatever text or numbers may come.

#[cfg(feature = "csv")]
mod csv {
    use std::fs;
    use std::path::PathBuf;

    use gradus::prelude::*;
    use proptest::prelude::*;

    /// A file in cargo's own folder for tests.
    fn file(name: &str, text: &str) -> PathBuf {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn errors_name_the_file() {
        for (name, text, place) in [
            ("ragged.csv", "a,b,y\n1,2,0\n1,2\n", ", line 3: expected 3 cells as in the first row, got 2"),
            ("word.csv", "a,b,y\n1,2,0\n1,x,1\n", ", line 3, column b: expected a number, got \"x\""),
            ("gap.csv", "1,2,0\n1,,1\n", ", line 2, column 2: the value is missing"),
            ("label.csv", "a,b,y\n1,2,0\n", ", line 1: there is no column \"species\"; the columns are a, b, y"),
            ("empty.csv", "", ": the table is empty"),
        ] {
            let path = file(name, text);
            let how = if name == "label.csv" { Csv::default().label("species") } else { Csv::default() };
            let error = how.read::<f32>(&path).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}{place}", path.display())), "{error}");
        }
        let missing = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("missing.csv");
        let error = Csv::default().read::<f32>(&missing).unwrap_err().to_string();
        assert!(error.starts_with(&missing.display().to_string()), "{error}");
    }

    #[test]
    fn files_of_another_kind() {
        for (name, bytes, what) in [
            (
                "x.csv.gz",
                b"\x1f\x8b\x08\0".to_vec(),
                "the file is a gzipped file, not a CSV file; unpack it first (gunzip)",
            ),
            ("model.h5", b"\x89HDF\r\n\x1a\n".to_vec(), "an HDF5 file (.h5), not a CSV file; a model: in Python"),
            (
                "x.npy",
                b"\x93NUMPY\x01\0".to_vec(),
                "a NumPy array (.npy), not a CSV file; read it with gradus::io::read_npy",
            ),
            ("x.parquet", b"PAR1\x15\x04".to_vec(), "a Parquet file, not a CSV file"),
            ("x.png", b"\x89PNG\r\n\x1a\n".to_vec(), "a PNG picture, not a CSV file; read it with read_image"),
            (
                "utf16.csv",
                "\u{feff}a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect(),
                "UTF-16 text, not a CSV file; save it as UTF-8",
            ),
            ("page.csv", b"<!DOCTYPE html>\n<html>".to_vec(), "a web page, not a CSV file"),
        ] {
            let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
            fs::write(&path, bytes).unwrap();
            let error = Csv::default().read::<f32>(&path).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(what), "{error}");
            assert_eq!(Csv::default().stream::<f32>(&path).unwrap_err().to_string(), error);
            let error = read_idx::<f32>(&path).unwrap_err().to_string();
            assert!(
                error.contains("not an IDX file")
                    || error.contains("zero bytes")
                    || error.contains("cut off")
                    || error.contains("gzip"),
                "{error}"
            );
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("saved_model");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("saved_model.pb"), b"x").unwrap();
        let error = Csv::default().read::<f32>(&folder).unwrap_err().to_string();
        assert!(error.contains("a folder with a TensorFlow SavedModel, no regular file"), "{error}");
        assert!(read_idx::<f32>(&folder).unwrap_err().to_string().contains("SavedModel"));
    }

    #[test]
    fn from_a_file_to_a_trained_model() -> Result<(), Error> {
        let rows: String = (0..60).map(|i| format!("{i},{},{}\r\n", 60 - i, ["low", "high"][i / 30])).collect();
        let path = file("levels.csv", &format!("\u{feff}a,\"b\",level\r\n{rows}"));
        let table = Csv::default().label("level").read(&path)?;
        assert_eq!(
            (table.feature_names, table.class_names),
            (vec!["a".into(), "b".into()], vec!["high".into(), "low".into()])
        );
        let parts = train_test_split(&table.x, &table.y, &Split::default().stratify(true))?;
        let scaler = StandardScaler::fit(&parts.x_train)?;
        let mut model = Sequential::new([2]).add(Dense::new(2).activation(Activation::Softmax)).build(0)?;
        model.compile(Adam::default().learning_rate(0.1), CategoricalCrossentropy::default(), [Accuracy::default()])?;
        let how = Fit::default().epochs(50).batch_size(15).verbose(Verbose::Silent);
        model.fit(&scaler.transform(&parts.x_train)?, &parts.y_train, &how)?;
        assert!(model.evaluate(&scaler.transform(&parts.x_test)?, &parts.y_test)?.get("accuracy").unwrap() > 0.9);
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_table_or_an_error(bytes: Vec<u8>, text in "[0-9a,\"\r\n. -]{0,60}", label in -3..3, skip in 0usize..3) {
            let how = Csv::default().label(label).skip_lines(skip);
            for source in [&bytes[..], text.as_bytes()] {
                if let Ok(table) = how.read_from::<f32>("random", source) {
                    prop_assert!(table.x.samples() > 0 && table.x.samples() == table.y.samples());
                    prop_assert!(table.x.iter().chain(&table.y).all(|v| v.is_finite()));
                }
            }
        }

        #[test]
        fn numbers_come_back_as_written(rows in prop::collection::vec([-1e30f64..1e30, -1.0..1.0, -1e-30..1e-30], 1..20)) {
            let text: String = rows.iter().map(|[a, b, c]| format!("{a},{b},{c:e}\n")).collect();
            let table = Csv::default().parse::<f64>(&text).unwrap();
            for (i, row) in rows.iter().enumerate() {
                prop_assert_eq!(table.x.row(i), &row[..2]);
                prop_assert_eq!(table.y.as_slice()[i], row[2]);
            }
        }
    }
}

use gradus::prelude::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn splits_hold_every_sample_once(
        labels in prop::collection::vec(0usize..4, 0..60),
        size in -0.1f64..1.1,
        seed: u64,
        stratify: bool,
    ) {
        let n = labels.len();
        let x = Tensor::<f32>::from_fn([n, 1], |i| i as f32);
        let how = Split::default().test_size(size).seed(seed).stratify(stratify);
        if let Ok(parts) = train_test_split(&x, &Tensor::from_labels(&labels), &how) {
            let rows: Vec<usize> = parts.x_train.iter().chain(&parts.x_test).map(|&v| v as usize).collect();
            let targets: Vec<usize> = parts.y_train.iter().chain(&parts.y_test).map(|&v| v as usize).collect();
            prop_assert!(rows.iter().zip(&targets).all(|(&row, &target)| labels[row] == target));
            let mut sorted = rows;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
            let tests = parts.y_test.samples();
            prop_assert_eq!(tests, (n as f64 * size).ceil() as usize);
            for class in 0..4 {
                let all = labels.iter().filter(|&&c| c == class).count();
                let here = parts.y_test.iter().filter(|&&c| c as usize == class).count();
                let share = (all * tests) as f64 / n as f64;
                prop_assert!(!stratify || (here as f64 - share).abs() < 1.0, "class {}: {} of {}", class, here, all);
            }
        }
    }

    #[test]
    fn scalers_return_or_refuse(values in prop::collection::vec(prop::num::f64::ANY, 0..40), width in 0usize..5) {
        let n = values.len().checked_div(width).unwrap_or(3);
        let x = Tensor::new([n, width], values[..n * width].to_vec()).unwrap();
        let fits = x.first_non_finite().is_none() && !x.is_empty();
        // A range that overflows is refused, and only that.
        let range = |j: usize| {
            let column = || x.as_slice().iter().skip(j).step_by(width).copied();
            column().fold(f64::MIN, f64::max) - column().fold(f64::MAX, f64::min)
        };
        prop_assert_eq!(MinMaxScaler::fit(&x).is_ok(), fits && (0..width).all(|j| range(j).is_finite()));
        let standard = StandardScaler::fit(&x);
        prop_assert!(fits || standard.is_err());
        let moderate = x.iter().all(|v| v.abs() < 1e150);
        prop_assert!(!(fits && moderate) || standard.is_ok());
        if let Ok(scaler) = &standard {
            prop_assert!(scaler.mean().iter().chain(scaler.scale()).all(|v| v.is_finite()));
        }
        let _ = StandardScaler::fit(&x).and_then(|s| s.inverse_transform(&s.transform(&x)?));
        let _ = MinMaxScaler::fit(&x).and_then(|s| s.inverse_transform(&s.transform(&x)?));
    }
}
