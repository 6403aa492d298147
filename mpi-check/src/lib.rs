//! Looks for an MPI library when it is built, and ends the build with what to install where there is none; holds nothing else.
//!
//! `gradus` depends on it with the feature `mpi`. It is a crate by itself as cargo runs the build script of a crate only behind those of the native libraries
//! that it depends on, so that one of `gradus` would come behind that of the bindings to MPI, whose errors do not say what to install. This one waits for nothing, while
//! theirs waits until bindgen has been compiled.
