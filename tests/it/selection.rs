//! Choosing models on real tables: cross-validation, searches and the learning-rate finder around `fit`.

use gradus::prelude::*;
use gradus::selection::FromValue;
use proptest::prelude::*;

fn quiet(epochs: usize) -> Fit<'static> {
    Fit::default().epochs(epochs).verbose(Verbose::Silent)
}

/// A model trained and measured on one fold.
fn measure(parts: &Parts, rate: f64, units: usize) -> Result<Scores, Error> {
    let mut model = Sequential::new([4])
        .add(Normalization::new().adapt(&parts.x_train)?)
        .add(Dense::new(units).activation(Activation::Tanh))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(1)?;
    model.compile(Adam::default().learning_rate(rate), CategoricalCrossentropy::default(), [Accuracy::default()])?;
    model.fit(&parts.x_train, &parts.y_train, &quiet(15))?;
    model.evaluate(&parts.x_test, &parts.y_test)
}

use gradus::model::Scores;

#[test]
fn folds_of_iris() {
    let iris = iris();
    let folds = KFold::new(5).stratify(true).seed(3).split(&iris.y).unwrap();
    let validate = || cross_validate(&folds, &iris.x, &iris.y, |parts, _| measure(parts, 0.02, 8)).unwrap();
    let result = validate();
    assert_eq!(result.names().collect::<Vec<_>>(), ["loss", "accuracy"]);
    assert_eq!(result.get("accuracy").unwrap().len(), 5);
    assert!(result.mean("accuracy") > 0.9 && result.std("accuracy") < 0.1, "{result}");
    assert_eq!(result, validate());
    // An error inside a fold comes out as it is.
    let error = cross_validate(&folds, &iris.x, &iris.y, |parts, _| measure(parts, -1.0, 8)).unwrap_err().to_string();
    assert!(error.contains("learning_rate"), "{error}");
}

#[test]
fn searches_over_training() {
    let iris = iris();
    let folds = KFold::new(2).stratify(true).split(&iris.y).unwrap();
    let parts = folds[0].parts(&iris.x, &iris.y).unwrap();
    let grid = || {
        let grid = Grid::new().add("units", [2usize, 8]).add("rate", [-1.0, 1e-6, 0.02]);
        grid.search(|t| Ok(measure(&parts, t.get("rate")?, t.get("units")?)?.get("accuracy").unwrap_or(f64::NAN)))
            .unwrap()
    };
    let found = grid();
    assert_eq!(found.best().get::<f64>("rate").unwrap(), 0.02);
    assert!(found.best_score() > 0.9);
    // The impossible rate failed, and is in the table with its reason.
    assert_eq!(found.tried().iter().filter(|t| t.score.is_err()).count(), 2);
    assert!(found.to_string().contains("learning_rate"), "{found}");
    assert_eq!(found.to_string(), grid().to_string());

    let random = |seed| {
        let search = RandomSearch::new(4).log_uniform("rate", 1e-4, 1e-1).integer("units", 2..=16).seed(seed);
        search.mode(gradus::callbacks::Mode::Min).search(|t| Ok(measure(&parts, t.get("rate")?, t.get("units")?)?.loss))
    };
    let (a, b) = (random(1).unwrap(), random(1).unwrap());
    assert_eq!(a.to_string(), b.to_string());
    assert_ne!(a.to_string(), random(2).unwrap().to_string());
    let losses: Vec<f64> = a.tried().iter().map(|t| *t.score.as_ref().unwrap()).collect();
    assert!(losses.is_sorted() && a.best_score() == losses[0]);
}

/// In the middle of a run, with noise, moments, a schedule, clipping and an average of the weights.
#[test]
fn the_finder_leaves_no_trace() {
    let digits = digits();
    let x = digits.x.rows(0..400).unwrap().map(|p| p / 16.0);
    let y = digits.y.rows(0..400).unwrap();
    let model = || {
        let layers = Sequential::new([64]).add(Dense::new(24).activation(Activation::Gelu)).add(Dropout::new(0.3));
        let mut model = layers.add(Dense::new(10).activation(Activation::Softmax)).build(8).unwrap();
        let optimizer = AdamW::default().learning_rate(CosineDecay::new(0.01, 60)).global_clipnorm(1.0).ema(0.95);
        model.compile(optimizer, CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
        model
    };
    let (mut plain, mut probed) = (model(), model());
    for start in 0..3 {
        let finder = LearningRateFinder::default().steps(60).batch_size(50);
        let found = probed.find_learning_rate(&x, &y, &finder).unwrap();
        assert!(found.rates.len() > 20 && (1e-5..1.0).contains(&found.suggestion()), "{found}");
        let how = quiet(start + 1).initial_epoch(start);
        assert_eq!(plain.fit(&x, &y, &how).unwrap(), probed.fit(&x, &y, &how).unwrap());
        assert_eq!(plain.params(), probed.params());
        assert_eq!(plain.train_on_batch(&x, &y).unwrap(), probed.train_on_batch(&x, &y).unwrap());
    }
}

proptest! {
    #[test]
    fn folds_hold_every_sample_once(
        labels in prop::collection::vec(0usize..3, 0..60),
        k in 0usize..8,
        seed: u64,
        shuffle: bool,
        stratify: bool,
    ) {
        let n = labels.len();
        let folds = KFold::new(k).seed(seed).shuffle(shuffle).stratify(stratify).split(&Tensor::<f32>::from_labels(&labels));
        let count = |c: usize| labels.iter().filter(|&&l| l == c).count();
        let rare = (0..3).map(count).filter(|&c| c > 0).min().unwrap_or(0);
        // Two samples to train on, also where the longest fold is tested.
        let enough = k >= 2 && k <= n && n - n.div_ceil(k) >= 2;
        prop_assert_eq!(folds.is_ok(), enough && (!stratify || rare >= k));
        for fold in folds.iter().flatten() {
            let mut all = [fold.train.clone(), fold.test.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
            prop_assert!(fold.test.len() == n / k || fold.test.len() == n / k + 1);
            for c in 0..3 {
                let here = fold.test.iter().filter(|&&i| labels[i] == c).count();
                prop_assert!(!stratify || here == count(c) / k || here == count(c) / k + 1);
            }
        }
        let tested: usize = folds.iter().flatten().map(|f| f.test.len()).sum();
        prop_assert!(folds.is_err() || tested == n);
    }

    #[test]
    fn draws_keep_their_bounds(a: f64, b: f64, i: i64, j: i64, seed: u64) {
        let (low, high) = (a.min(b), a.max(b));
        let uniform = RandomSearch::new(3).uniform("v", low, high).seed(seed).search(|t| {
            let v = f64::from_value(&t.settings()[0].1).unwrap();
            assert!((low..=high).contains(&v), "{v} of {low}..{high}");
            Ok(0.0)
        });
        prop_assert!(uniform.is_ok());
        let log = RandomSearch::new(3).log_uniform("v", low.abs(), high.abs()).seed(seed).search(|t| t.get("v"));
        prop_assert_eq!(log.is_ok(), low != 0.0 && low.abs() <= high.abs());
        let (low, high) = (i.min(j), i.max(j));
        let integer = RandomSearch::new(3).integer("v", low..=high).seed(seed).search(|t| {
            let v: i64 = t.get("v")?;
            assert!((low..=high).contains(&v));
            Ok(0.0)
        });
        prop_assert!(integer.is_ok());
    }
}
