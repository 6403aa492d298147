//! Ranks as processes: this program starts itself under `mpirun`.
//!
//! `cargo test --release -p gradus-tests --features mpi --test mpi`; `GRADUS_KILLS=20` kills as many jobs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gradus::distributed::{Mpi, World};
use gradus::prelude::*;
use gradus::schedules::CosineDecay;

/// What a rank is to do.
const TASK: &str = "GRADUS_MPI_TASK";
const FILE: &str = "GRADUS_MPI_FILE";
const PIDS: &str = "GRADUS_MPI_PIDS";

/// The status of a rank that was asked to end.
const INTERRUPTED: i32 = 3;

/// How many epochs it takes to have time to be killed in.
const EPOCHS: usize = 40;

fn data() -> (Tensor, Tensor) {
    const N: usize = 103;
    let x = Tensor::from_fn([N, 6], |i| ((i * 7919 + i / 6) % 101) as f32 / 50.0 - 1.0);
    (x, Tensor::from_labels(&(0..N).map(|i| (i * i + i / 3) % 3).collect::<Vec<_>>()))
}

/// A model with all that looks at more than a row.
fn model(seed: u64) -> gradus::Result<Model> {
    let mut model = Sequential::new([6])
        .add(Dense::new(16).kernel_regularizer(Regularizer::L2(1e-3)))
        .add(BatchNorm::default())
        .add(Activation::Relu)
        .add(BatchNorm::default().synchronized(true))
        .add(Dropout::new(0.3))
        .add(Dense::new(3).activation(Activation::Softmax))
        .build(seed)?;
    let adam =
        Adam::default().learning_rate(CosineDecay::new(0.01, 400)).global_clipnorm(0.5).gradient_accumulation_steps(2);
    model.compile(adam, SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    Ok(model)
}

/// A run of 12 shards: the bits that it ends with, and whether it was asked to end before.
fn train(
    world: Option<&dyn World>,
    seed: u64,
    file: Option<&Path>,
    epochs: usize,
    pause: u64,
) -> gradus::Result<(String, bool)> {
    let (x, y) = data();
    let mut model = model(seed)?;
    let mut stopping = EarlyStopping::default().monitor("val_loss").patience(30).restore_best_weights(true);
    let mut slowly = LambdaCallback::default().on_batch_end(move |_, _, _| {
        std::thread::sleep(Duration::from_millis(pause));
        Ok(())
    });
    let checkpoint = file.map(|file| Checkpoint::new(file).every_steps(3));
    let how = Fit::default().epochs(epochs).batch_size(20).validation_split(0.2).shards(12).verbose(Verbose::Silent);
    let how = world.into_iter().fold(how, Fit::distributed);
    let how = checkpoint.iter().fold(how, Fit::checkpoint);
    let history = model.fit_with(&x, &y, &how, &mut [&mut stopping, &mut slowly])?;
    let bits = model.params().values().iter().fold(0u64, |sum, v| sum.rotate_left(5) ^ u64::from(v.to_bits()));
    let loss = history.last("val_loss").unwrap_or(0.0).to_bits();
    if world.is_some_and(|world| world.rank() == 0) {
        println!("START {:?}", history.start());
    }
    Ok((format!("{bits:016x} {loss:016x} {} epochs", history.epochs.len()), history.interrupted()))
}

/// What this process does as a rank.
fn rank(task: &str) -> gradus::Result<i32> {
    gradus::set_threads(1)?;
    let deadline = if task == "silent" { 5 } else { 60 };
    let world = Mpi::start()?.deadline(Duration::from_secs(deadline));
    let me = world.rank();
    if let Some(folder) = std::env::var_os(PIDS) {
        std::fs::write(PathBuf::from(folder).join(me.to_string()), std::process::id().to_string())
            .map_err(Error::custom)?;
    }
    let file = std::env::var_os(FILE).map(PathBuf::from);
    let (epochs, pause) = if file.is_some() { (EPOCHS, 2) } else { (6, 0) };
    match task {
        "bits" => {
            // Weights come from rank 0.
            let (bits, interrupted) = train(Some(&world), 7 + me as u64, file.as_deref(), epochs, pause)?;
            println!("BITS of {me}: {bits}");
            return Ok(if interrupted { INTERRUPTED } else { 0 });
        }
        "panic" if me == 1 => panic!("the third wheel came off"),
        "error" if me == 1 => {
            // An error of `fit` on one rank alone.
            let (x, y) = data();
            model(0)?.fit(&x, &y.rows(0..5)?, &Fit::default().distributed(&world))?;
        }
        "silent" if me == 1 => std::thread::sleep(Duration::from_secs(600)),
        "early" if me == 1 => {
            // Before `fit`, as the example has it.
            world.abort("there is no such file");
        }
        "differ" => {
            let (x, y) = data();
            let batch = if me == 1 { 10 } else { 20 };
            let how = Fit::default().batch_size(batch).verbose(Verbose::Silent).distributed(&world);
            let error = model(0)?.fit(&x, &y, &how).unwrap_err();
            println!("ERROR of {me}: {error}");
        }
        _ => _ = train(Some(&world), 7, None, 6, 0)?,
    }
    Ok(0)
}

/// Not a test of its own: what the ranks run.
#[test]
fn as_a_rank() {
    let Ok(task) = std::env::var(TASK) else { return };
    let status = rank(&task).unwrap_or_else(|error| {
        eprintln!("{error}");
        1
    });
    std::process::exit(status);
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gradus_mpi_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mpirun(ranks: usize, task: &str) -> Command {
    let mut command = Command::new("mpirun");
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1").env("OMPI_MCA_btl_base_warn_component_unused", "0");
    command.env(TASK, task).args(["-n", &ranks.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn of_ranks(command: &mut Command) -> &mut Command {
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "as_a_rank", "--nocapture", "--test-threads", "1"])
}

/// What a job printed, its status, and how long it took to end.
struct Ended {
    out: String,
    status: Option<i32>,
    time: Duration,
}

fn wait(mut child: Child, within: Duration) -> Ended {
    let start = Instant::now();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = std::thread::spawn(move || {
        let mut out = String::new();
        let _ = stdout.read_to_string(&mut out);
        out
    });
    let errors = std::thread::spawn(move || {
        let mut out = String::new();
        let _ = stderr.read_to_string(&mut out);
        out
    });
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > within {
            let _ = child.kill();
            panic!("the job has not ended within {within:?}: {}{}", read.join().unwrap(), errors.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let time = start.elapsed();
    Ended { out: read.join().unwrap() + &errors.join().unwrap(), status: status.code(), time }
}

fn run(ranks: usize, task: &str) -> Ended {
    wait(of_ranks(&mut mpirun(ranks, task)).spawn().unwrap(), Duration::from_secs(120))
}

/// What the ranks say they ended with.
fn bits(ended: &Ended) -> Vec<&str> {
    ended
        .out
        .split("BITS of ")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(": ")?.1.lines().next()?.trim()))
        .collect()
}

#[test]
fn any_number_of_processes_ends_with_the_bits_of_one() {
    let (expected, _) = train(None, 7, None, 6, 0).unwrap();
    for ranks in [1, 2, 3, 4, 6] {
        let ended = run(ranks, "bits");
        assert_eq!(ended.status, Some(0), "{}", ended.out);
        let all = bits(&ended);
        assert!(all.len() == ranks && all.iter().all(|own| *own == expected), "{expected} and {}", ended.out);
    }
}

#[test]
fn what_fails_on_one_rank_ends_all_with_its_message() {
    for (task, message) in [
        ("panic", "rank 1 of 3: it panicked"),
        ("error", "rank 1 of 3: fit: expected 103 targets"),
        ("early", "rank 1 of 3: there is no such file"),
        ("silent", "rank 0 of 2: rank 1 has not answered for 5s"),
    ] {
        // Two, so that no third one can be slow as well.
        let ended = run(if task == "silent" { 2 } else { 3 }, task);
        assert!(ended.status != Some(0) && ended.out.contains(message), "{task}: {:?} {}", ended.status, ended.out);
        assert!(ended.time < Duration::from_secs(30), "{task}: {:?}", ended.time);
    }
    let ended = run(3, "differ");
    let told = ended.out.matches("rank 1: batch_size: 10 there, 20 on rank 0").count();
    assert!(told == 3 && ended.status == Some(0), "{}", ended.out);
}

/// Numbers that look random.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *state >> 33
}

fn start(folder: &Folder, ranks: usize) -> Child {
    let pids = folder.0.join("pids");
    let _ = std::fs::remove_dir_all(&pids);
    std::fs::create_dir_all(&pids).unwrap();
    let mut command = mpirun(ranks, "bits");
    command.env(PIDS, &pids).env(FILE, folder.0.join("run.safetensors"));
    of_ranks(&mut command).spawn().unwrap()
}

fn signal(folder: &Folder, rank: usize, signal: &str) -> bool {
    let path = folder.0.join("pids").join(rank.to_string());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if let Some(pid) = std::fs::read_to_string(&path).ok().filter(|pid| !pid.is_empty()) {
            return Command::new("kill").args([signal, &pid]).status().is_ok_and(|status| status.success());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn a_killed_job_goes_on_with_other_ranks_to_the_same_bits() {
    let kills = std::env::var("GRADUS_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3usize);
    let whole = Folder::new("whole");
    let (expected, _) = train(None, 7, Some(&whole.0.join("run.safetensors")), EPOCHS, 0).unwrap();
    let (mut state, mut went_on) = (5, 0);
    for (name, sign, times) in [("killed", "-KILL", kills), ("asked", "-TERM", kills.div_ceil(2))] {
        for time in 0..times {
            let folder = Folder::new(&format!("{name}_{time}"));
            let rank = draw(&mut state) as usize % 4;
            let child = start(&folder, 4);
            // All ranks have joined when the last one has told its number.
            (0..4).for_each(|rank| assert!(signal(&folder, rank, "-0"), "rank {rank} has not begun"));
            std::thread::sleep(Duration::from_millis(draw(&mut state) % 600));
            let hit = signal(&folder, rank, sign);
            let ended = wait(child, Duration::from_secs(30));
            assert!(ended.time < Duration::from_secs(10), "{name}: {:?}", ended.time);
            match (hit, ended.status) {
                // It was done before.
                (_, Some(0)) => {}
                (_, Some(INTERRUPTED)) if sign == "-TERM" => assert!(folder.0.join("run.safetensors").exists()),
                (true, _) if sign == "-KILL" => assert!(ended.out.contains(&format!("rank {rank} ")), "{}", ended.out),
                other => panic!("{name}: {other:?} {}", ended.out),
            }
            let ranks = [1, 2, 3, 6][draw(&mut state) as usize % 4];
            let again = wait(start(&folder, ranks), Duration::from_secs(60));
            let all = bits(&again);
            assert!(all.len() == ranks && all.iter().all(|own| *own == expected), "{expected} and {}", again.out);
            went_on += usize::from(again.out.contains("START Resumed"));
        }
    }
    // Some are killed before their first checkpoint, or are done.
    assert!(2 * went_on >= kills, "{went_on} of {} jobs went on from a checkpoint", kills + kills.div_ceil(2));
}

/// Two network namespaces, joined by a cable: as two machines see each other.
struct Cable {
    names: [String; 2],
}

const ADDRESSES: [&str; 2] = ["10.77.31.1", "10.77.31.2"];

impl Cable {
    /// Why not, where that cannot be had.
    fn lay() -> Result<Self, String> {
        let id = std::process::id();
        let cable = Cable { names: ["a", "b"].map(|end| format!("gradus_{end}_{id}")) };
        let [a, b] = &cable.names;
        let ends = [format!("gra{id}"), format!("grb{id}")];
        ip(&["netns", "add", a])?;
        ip(&["netns", "add", b])?;
        ip(&["link", "add", &ends[0], "type", "veth", "peer", "name", &ends[1]])?;
        for ((name, end), address) in cable.names.iter().zip(&ends).zip(ADDRESSES) {
            ip(&["link", "set", end, "netns", name])?;
            ip(&["-n", name, "addr", "add", &format!("{address}/24"), "dev", end])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "link", "set", end, "up"])?;
        }
        Ok(cable)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.names.iter().for_each(|name| _ = ip(&["netns", "del", name]));
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let failed = |problem: &str| format!("ip {}: {}", arguments.join(" "), problem.trim());
    let output = Command::new("ip").args(arguments).output().map_err(|e| failed(&e.to_string()))?;
    if output.status.success() { Ok(()) } else { Err(failed(&String::from_utf8_lossy(&output.stderr))) }
}

#[test]
fn two_addresses_over_tcp_have_the_bits_of_one_process() {
    use std::os::unix::fs::PermissionsExt;
    let cable = match Cable::lay() {
        Ok(cable) => cable,
        Err(why) => return println!("not run between network namespaces: {why}"),
    };
    let folder = Folder::new("agent");
    // What Open MPI calls in the place of ssh, with a host and a command.
    let agent = folder.0.join("agent.sh");
    let [a, b] = &cable.names;
    let script = format!(
        "#!/bin/sh\nhost=$1; shift\ncase $host in {}) name={a};; *) name={b};; esac\nexec ip netns exec $name sh -c \"$*\"\n",
        ADDRESSES[0]
    );
    std::fs::write(&agent, script).unwrap();
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let network = "10.77.31.0/24";
    let mut command = Command::new("ip");
    command.args(["netns", "exec", a, "mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "4"]);
    command.args(["--mca", "plm", "rsh", "--mca", "plm_rsh_agent"]).arg(&agent);
    command.args(["--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", network]);
    command.args(["--mca", "oob_tcp_if_include", network, "-x", TASK]);
    command.args(["--host", &ADDRESSES.map(|address| format!("{address}:2")).join(",")]);
    command.env(TASK, "bits").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Each rank says at which address it is.
    command.args([
        "sh",
        "-c",
        "ip -4 -o addr show scope global; exec \"$0\" --exact as_a_rank --nocapture --test-threads 1",
    ]);
    command.arg(std::env::current_exe().unwrap());
    let ended = wait(command.spawn().unwrap(), Duration::from_secs(120));
    let (expected, _) = train(None, 7, None, 6, 0).unwrap();
    let all = bits(&ended);
    assert!(all.len() == 4 && all.iter().all(|own| *own == expected), "{expected} and {}", ended.out);
    assert!(ADDRESSES.iter().all(|address| ended.out.matches(&format!("{address}/24")).count() == 2), "{}", ended.out);
}
