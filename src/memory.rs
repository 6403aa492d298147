//! Large buffers: asked for with an error where there is no memory for them, in the place of an abort.
//!
//! The allocator's word is not enough: where the system promises more than it has, a process is killed when it writes. So what is
//! asked for is also held against what the machine has and, in a container, what its control group may have (Linux). Memory that
//! other processes hold is not looked at.

use std::fmt::Display;
use std::path::Path;

use crate::aligned::Aligned;
use crate::error::{Error, Result};
use crate::kernels::pages;

/// Values that are asked for without looking whether there is room, as a program has that much for its own.
pub(crate) const SMALL: usize = 1 << 22;

/// So many equal values.
pub(crate) fn filled<T: Clone>(op: &'static str, what: impl Display, len: usize, value: T) -> Result<Vec<T>> {
    let mut values = Vec::new();
    reserve(op, what, &mut values, len)?;
    values.resize(len, value);
    Ok(values)
}

/// Makes a buffer so long; values that are new are `value`.
pub(crate) fn resize<T: Clone>(
    op: &'static str,
    what: impl Display,
    values: &mut Vec<T>,
    len: usize,
    value: T,
) -> Result<()> {
    reserve(op, what, values, len.saturating_sub(values.len()))?;
    values.resize(len, value);
    Ok(())
}

/// Makes room for so many more values.
pub(crate) fn reserve<T>(op: &'static str, what: impl Display, values: &mut Vec<T>, more: usize) -> Result<()> {
    let bytes = values.len().saturating_add(more).saturating_mul(size_of::<T>());
    if granted(bytes) && values.try_reserve_exact(more).is_ok() {
        pages::prefer_large(values.spare_capacity_mut());
        return Ok(());
    }
    Err(Error::Memory { op, what: what.to_string(), bytes })
}

/// [`reserve`] for values that begin at a cache line.
pub(crate) fn reserve_aligned<T: Copy + Default>(
    op: &'static str,
    what: impl Display,
    values: &mut Aligned<T>,
    more: usize,
) -> Result<()> {
    let len = values.len().saturating_add(more);
    let bytes = len.saturating_mul(size_of::<T>());
    if granted(bytes) && values.try_reserve(len, T::default()) {
        return Ok(());
    }
    Err(Error::Memory { op, what: what.to_string(), bytes })
}

/// So many zeros that begin at a cache line, in memory that is written by who fills it.
pub(crate) fn zeros_aligned<T: Copy + Default>(op: &'static str, what: impl Display, len: usize) -> Result<Aligned<T>> {
    // The allocator is asked first, as it would end the program.
    let mut asked = Aligned::default();
    reserve_aligned::<T>(op, what, &mut asked, len)?;
    drop(asked);
    Ok(Aligned::zeros(len))
}

/// Whether so many bytes can be asked for.
fn granted(bytes: usize) -> bool {
    bytes <= UNASKED || limit().is_none_or(|limit| bytes as u64 <= limit)
}

/// Bytes for which the system's limits are not read.
const UNASKED: usize = 1 << 26;

/// The most bytes that a process can hold, swap included; none where the system does not say.
fn limit() -> Option<u64> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = text("/proc/meminfo");
    let total = |name: &str| {
        let line = machine.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let group = group_limit(Path::new("/sys/fs/cgroup"), &text("/proc/self/cgroup"));
    let least = total("MemTotal").into_iter().chain(group).min()?;
    Some(least.saturating_add(total("SwapTotal").unwrap_or(0)))
}

/// The least limit of the control groups that a process is in, below the folder where they are mounted; `groups` is what
/// `/proc/self/cgroup` says.
fn group_limit(mounted: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        // Version 2 has one tree, version 1 one for memory; seen from inside a container, its root may be the group itself.
        let (tree, file) = match controllers {
            "" => (mounted.to_owned(), "memory.max"),
            "memory" => (mounted.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let folders = Path::new(path.trim_start_matches('/')).ancestors();
        let limit =
            |folder: &Path| std::fs::read_to_string(tree.join(folder).join(file)).ok()?.trim().parse::<u64>().ok();
        folders.filter_map(limit).min()
    });
    limits.min()
}

/// Looks whether there is room for so many values of `T`, and takes none: for what is allocated where no error can be returned.
pub(crate) fn check_room<T>(op: &'static str, what: impl Display, len: usize) -> Result<()> {
    let bytes = len.saturating_mul(size_of::<T>());
    if len <= SMALL || granted(bytes) && Vec::<T>::new().try_reserve_exact(len).is_ok() {
        return Ok(());
    }
    Err(Error::Memory { op, what: what.to_string(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_an_error() {
        assert_eq!(filled("test", "it", 3, 1.5).unwrap(), [1.5; 3]);
        check_room::<f64>("test", "it", SMALL + 1).unwrap();
        let error = check_room::<f32>("fit", "a batch", 1 << 61).unwrap_err();
        let expected = "fit: a batch would take 9223372036854775808 bytes, more memory than there is; use smaller layers or \
                        batches, or a machine with more";
        assert_eq!(error.to_string(), expected);
        assert!(matches!(filled("test", "it", usize::MAX, 0.0), Err(Error::Memory { bytes: usize::MAX, .. })));
    }

    /// What the allocator would promise and the machine does not have.
    #[test]
    #[cfg(target_os = "linux")]
    fn more_than_the_machine_has_is_an_error() {
        let limit = limit().unwrap();
        assert!(limit > UNASKED as u64, "{limit}");
        let error = check_room::<u8>("test", "it", limit as usize + 1).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
    }

    #[test]
    fn limits_of_control_groups() {
        let root = std::env::temp_dir().join(format!("gradus-groups-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let of = |groups: &str| group_limit(&root, groups);
        assert_eq!(of("0::/a/b\n"), None);
        write("a/b/memory.max", "max\n");
        assert_eq!(of("0::/a/b\n"), None);
        write("a/memory.max", "1000\n");
        assert_eq!((of("0::/a/b\n"), of("0::/a\n"), of("0::/\n")), (Some(1000), Some(1000), None));
        // A container sees its own group at the root, whatever path the host has for it.
        write("memory.max", "700\n");
        assert_eq!((of("0::/a/b\n"), of("0::/\n"), of("0::/host/path\n")), (Some(700), Some(700), Some(700)));
        write("memory/c/memory.limit_in_bytes", "500\n");
        assert_eq!(of("5:cpu,cpuacct:/c\n4:memory:/c\n0::/\n"), Some(500));
        assert_eq!((of("4:memory:/d\n"), of("no group"), of("")), (None, None, None));
        std::fs::remove_dir_all(root).unwrap();
    }
}
