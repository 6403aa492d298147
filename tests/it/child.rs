//! A test that runs once more as another process: one that is killed, limited, or whose memory or output is looked at.

use std::process::{Child, Command, Stdio};

/// Set, in such a process, to what it is to do.
const TASK: &str = "GRADUS_TEST_TASK";

/// What this process is to do, if a test has started it.
pub fn task() -> Option<String> {
    std::env::var(TASK).ok()
}

/// The name by which the harness knows a test, from the function itself, so that no other spelling can be handed over.
fn name<F: Fn()>(_: &F) -> &'static str {
    let path = std::any::type_name::<F>();
    path.split_once("::").map_or(path, |(_, name)| name)
}

fn arguments<F: Fn()>(test: &F) -> [&'static str; 5] {
    [name(test), "--exact", "--nocapture", "--test-threads=1", "--color=never"]
}

fn with_task(mut command: Command, task: &str) -> Command {
    command.env(TASK, task).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// This program again, to run `test` alone with a task; see [`ran`].
pub fn again<F: Fn()>(test: F, task: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments(&test));
    with_task(command, task)
}

/// [`again`] in a shell, after commands that limit what it may do.
#[cfg(unix)]
pub fn limited<F: Fn()>(test: F, task: &str, limits: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{limits} exec \"$0\" \"$@\"")).arg(std::env::current_exe().unwrap());
    command.args(arguments(&test));
    with_task(command, task)
}

/// [`again`] on a terminal of its own, of util-linux's `script`; none where that is not installed.
#[cfg(all(feature = "progress", target_os = "linux"))]
pub fn on_a_terminal<F: Fn()>(test: F, task: &str) -> Option<Command> {
    Command::new("script").arg("--version").output().ok()?;
    let program = format!("'{}' {}", std::env::current_exe().unwrap().display(), arguments(&test).join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &program, "/dev/null"]);
    Some(with_task(command, task))
}

/// Waits for the end of a process that [`again`] and its like began, and returns what it printed. The test must have run there and
/// passed: a name that the harness does not know would run nothing and succeed.
pub fn ran(child: Child) -> String {
    let [text, _] = ran_and_said(child);
    text
}

/// [`ran`] with what was printed on stderr beside it.
pub fn ran_and_said(child: Child) -> [String; 2] {
    let output = child.wait_with_output().unwrap();
    let [text, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let whole = output.status.success() && text.contains("test result: ok. 1 passed; 0 failed; 0 ignored;");
    assert!(whole, "{}\n{text}{errors}", output.status);
    [text, errors]
}

/// The proof that a child ran is no formality: a name that names no test succeeds and is refused, as is a test that fails.
#[test]
fn a_child_that_runs_nothing_is_found_out() {
    if let Some(task) = task() {
        assert_eq!(task, "succeed");
        println!("the task was {task}");
        return;
    }
    let test = a_child_that_runs_nothing_is_found_out;
    assert!(ran(again(test, "succeed").spawn().unwrap()).contains("the task was succeed"));
    let refused = |mut command: Command| {
        let child = command.spawn().unwrap();
        std::panic::catch_unwind(|| ran(child)).unwrap_err().downcast::<String>().unwrap()
    };
    assert!(refused(again(test, "fail")).contains("0 passed; 1 failed"));
    let mut nobody = Command::new(std::env::current_exe().unwrap());
    nobody.args(["--exact", "a_child_that_runs_nothing_is_found_out"]);
    let text = refused(with_task(nobody, "succeed"));
    assert!(text.contains("running 0 tests") && text.contains("exit status: 0"), "{text}");
    #[cfg(unix)]
    assert!(refused(limited(test, "succeed", "exit 0;")).contains("exit status: 0"));
}
