//! Tells who asks for MPI what it needs.

use std::env;
use std::process::{Command, exit};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CHECK").is_some() {
        look_for_mpi();
    }
}

/// Ends with what to install where there is no MPI, before the bindings are built, whose own errors do not say.
fn look_for_mpi() {
    println!("cargo::rerun-if-env-changed=MPICC");
    println!("cargo::rerun-if-env-changed=PATH");
    let compiler = env::var("MPICC").unwrap_or_else(|_| "mpicc".into());
    let runs = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if runs(&compiler, &["-show"]) || ["ompi", "mpich"].iter().any(|name| runs("pkg-config", &["--exists", name])) {
        return;
    }
    println!(
        "cargo::error=the feature `mpi` needs an MPI library, and `{compiler}` was not found: install Open MPI and libclang \
         (Debian, Ubuntu: apt install libopenmpi-dev openmpi-bin libclang-dev; Fedora: dnf install openmpi-devel clang-devel, then \
         `module load mpi`), or set MPICC to the compiler wrapper of another MPI; or leave the feature out"
    );
    exit(1);
}
