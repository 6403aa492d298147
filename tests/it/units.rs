//! The package of the unit tests is gradus with other settings of the compiler, and all features by default.

use std::path::Path;

/// Features but for the default ones, and dependencies.
fn shared(manifest: &str) -> String {
    let from = manifest.find("[features]").unwrap();
    let rest = &manifest[from..];
    let len = rest.find("\n[[example]]").or_else(|| rest.find("\n[lints")).unwrap();
    let lines = rest[..len].trim_end().lines();
    lines.filter(|line| !line.starts_with("default = ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn have_the_features_and_dependencies_of_gradus() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [own, units] = [tests.join("../Cargo.toml"), tests.join("units/Cargo.toml")]
        .map(|path| std::fs::read_to_string(path).unwrap());
    assert_eq!(
        shared(&own),
        shared(&units),
        "copy [features] and [dependencies] from Cargo.toml to tests/units/Cargo.toml"
    );
}
