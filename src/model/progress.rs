//! What `fit` prints while it trains.

#[cfg(feature = "progress")]
use std::cell::Cell;
#[cfg(feature = "progress")]
use std::fmt::Write;
use std::io::{IsTerminal, Write as _};
#[cfg(feature = "progress")]
use std::time::Duration;
use std::time::Instant;

use super::fit_options::Verbose;
use super::history::figure;

/// Prints a line an epoch, or draws a bar.
pub(crate) struct Progress {
    kind: Kind,
    epochs: usize,
    batches: usize,
    started: Instant,
    /// When the bar is drawn next, from `started`.
    #[cfg(feature = "progress")]
    next: Cell<Duration>,
    /// Whether the bar is to be seen.
    #[cfg(feature = "progress")]
    shown: Cell<bool>,
}

/// Time between two drawings of the bar.
#[cfg(feature = "progress")]
const REFRESH: Duration = Duration::from_millis(100);

enum Kind {
    Silent,
    Lines,
    #[cfg(feature = "progress")]
    Bar(indicatif::ProgressBar),
}

impl Progress {
    pub(crate) fn new(verbose: Verbose, epochs: usize, batches: usize) -> Self {
        if verbose != Verbose::Silent {
            say_if_slow();
        }
        let terminal = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        let kind = match verbose {
            Verbose::Silent => Kind::Silent,
            Verbose::Lines => Kind::Lines,
            Verbose::Auto | Verbose::Bar if !terminal => Kind::Lines,
            #[cfg(not(feature = "progress"))]
            Verbose::Auto | Verbose::Bar => Kind::Lines,
            #[cfg(feature = "progress")]
            Verbose::Auto | Verbose::Bar => Self::bar(batches, indicatif::ProgressDrawTarget::stderr()),
        };
        Progress {
            kind,
            epochs,
            batches,
            started: Instant::now(),
            #[cfg(feature = "progress")]
            next: Cell::new(Duration::ZERO),
            #[cfg(feature = "progress")]
            shown: Cell::new(false),
        }
    }

    #[cfg(feature = "progress")]
    fn bar(batches: usize, target: indicatif::ProgressDrawTarget) -> Kind {
        let style = indicatif::ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {rate} eta {eta} - {msg}");
        let bar = indicatif::ProgressBar::with_draw_target(Some(batches as u64), target);
        // On a terminal that cannot move its cursor, such as TERM=dumb.
        if bar.is_hidden() {
            return Kind::Lines;
        }
        Kind::Bar(match style {
            Ok(style) => {
                bar.with_style(style.with_key("rate", |state: &indicatif::ProgressState, out: &mut dyn Write| {
                    let _ = write!(out, "{:.0} steps/s", state.per_sec());
                }))
            }
            Err(_) => bar,
        })
    }

    pub(crate) fn begin(&mut self, epoch: usize) {
        self.started = Instant::now();
        #[cfg(feature = "progress")]
        self.next.set(Duration::ZERO);
        #[cfg(feature = "progress")]
        if let Kind::Bar(bar) = &self.kind {
            self.shown.set(true);
            bar.reset();
            bar.set_prefix(format!("epoch {}/{}", epoch + 1, self.epochs));
        }
        #[cfg(not(feature = "progress"))]
        let _ = epoch;
    }

    pub(crate) fn step<F: Iterator<Item = (String, f64)>>(&self, done: usize, loss: f64, metrics: impl FnOnce() -> F) {
        #[cfg(feature = "progress")]
        if let Kind::Bar(bar) = &self.kind {
            // The text is made anew only now and then: it costs more than a small step.
            let now = self.started.elapsed();
            if now >= self.next.get() || done == self.batches {
                self.next.set(now + REFRESH);
                let mut text = format!("loss: {}", figure(loss));
                for (name, value) in metrics() {
                    let _ = write!(text, " - {name}: {}", figure(value));
                }
                bar.set_message(text);
                bar.set_position(done as u64);
            }
        }
        #[cfg(not(feature = "progress"))]
        let _ = (done, loss, metrics);
    }

    pub(crate) fn end(&self, epoch: usize, figures: &[(String, f64)]) {
        let line = || {
            let seconds = self.started.elapsed().as_secs_f64();
            let each = seconds / self.batches.max(1) as f64;
            let figures: Vec<_> = figures.iter().map(|(name, value)| format!("{name}: {}", figure(*value))).collect();
            format!(
                "epoch {}/{} - {} - {}/step - {}",
                epoch + 1,
                self.epochs,
                duration(seconds),
                duration(each),
                figures.join(" - ")
            )
        };
        if !matches!(self.kind, Kind::Silent) {
            self.note(&line());
        }
    }

    /// Prints a line, where anything is printed.
    pub(crate) fn note(&self, line: &str) {
        match &self.kind {
            Kind::Silent => {}
            // Nobody may be listening any more; training goes on.
            Kind::Lines => {
                let _ = writeln!(std::io::stdout().lock(), "{line}");
            }
            #[cfg(feature = "progress")]
            Kind::Bar(bar) if self.shown.get() => bar.println(line),
            // Before and after the bar, which that would draw.
            #[cfg(feature = "progress")]
            Kind::Bar(_) => {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        #[cfg(feature = "progress")]
        if let (Kind::Bar(bar), true) = (&self.kind, self.shown.replace(false)) {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    /// However the run ends, the bar does not stay.
    fn drop(&mut self) {
        self.finish();
    }
}

/// Says once, on stderr, that this crate was compiled without optimisation, if it was.
fn say_if_slow() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if let Some(text) = slow(OPT_LEVEL) {
        ONCE.call_once(|| {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        });
    }
}

fn slow(opt_level: &str) -> Option<&'static str> {
    (opt_level == "0").then_some(SLOW)
}

/// How this crate itself was optimised, from its build script: `debug_assertions` say nothing of that.
const OPT_LEVEL: &str = env!("GRADUS_OPT_LEVEL");

const SLOW: &str = "gradus was compiled without optimisation and trains many times slower than it could. Run with --release, or \
    write in the Cargo.toml of your project (of the workspace's root, if it is a member of one):\n\n\
    [profile.dev.package.\"*\"]\nopt-level = 3\n\n\
    and, where gradus itself is a member of that workspace, which \"*\" leaves out:\n\n\
    [profile.dev.package.gradus]\nopt-level = 3\n";

/// Seconds in the unit that suits them.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.1} µs", s * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_optimisation_is_told() {
        assert!(["0", "1", "2", "3", "s", "z"].contains(&OPT_LEVEL), "{OPT_LEVEL}");
        let text = slow("0").unwrap_or_default();
        for package in ["\"*\"", "gradus"] {
            assert!(text.contains(&format!("\n[profile.dev.package.{package}]\nopt-level = 3\n")), "{text}");
        }
        assert!(["1", "2", "3", "s", "z"].iter().all(|level| slow(level).is_none()));
    }

    #[cfg(feature = "progress")]
    #[test]
    fn a_bar_that_cannot_be_drawn_gives_way_to_lines() {
        assert!(matches!(Progress::bar(3, indicatif::ProgressDrawTarget::hidden()), Kind::Lines));
    }

    #[test]
    fn durations() {
        assert_eq!(duration(2.5), "2.50 s");
        assert_eq!(duration(0.0025), "2.50 ms");
        assert_eq!(duration(2.5e-6), "2.5 µs");
    }
}
