//! The package of the unit tests is gradus with other settings of the compiler.

use std::path::Path;

/// Features and dependencies.
fn shared(manifest: &str) -> &str {
    let from = manifest.find("[features]").unwrap();
    let rest = &manifest[from..];
    let len = rest.find("\n[[example]]").or_else(|| rest.find("\n[lints")).unwrap();
    rest[..len].trim_end()
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
