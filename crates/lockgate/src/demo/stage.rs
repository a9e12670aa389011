//! What the show looks like: headings, commands, their output and the verdict on each step. Reads well without colour.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Longest line of a program's output that is printed whole.
const COLUMNS_MAX: usize = 190;
/// Lines of one program's output that are printed.
const LINES_MAX: usize = 24;

/// The terminal, or the pipe, that the show is printed to.
pub struct Stage {
    colour: bool,
    steps: AtomicU32,
    failures: AtomicU32,
}

impl Stage {
    /// Standard output; in colour if it is a terminal.
    pub fn on_stdout() -> Self {
        Stage { colour: std::io::stdout().is_terminal(), steps: AtomicU32::new(0), failures: AtomicU32::new(0) }
    }

    fn print(&self, text: &str) {
        // A closed pipe must not end the show with a panic half-way: its servers have to be stopped.
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        drop(written);
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// The first line of all.
    pub fn title(&self, text: &str) {
        self.print(&format!("{}\n\n", self.paint("1;36", text)));
    }

    /// A numbered heading.
    pub fn heading(&self, text: &str) {
        let number = self.steps.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.print(&format!("\n{}\n", self.paint("1;36", &format!("{number}  {text}"))));
    }

    /// A line of explanation.
    pub fn say(&self, text: &str) {
        self.print(&format!("   {text}\n"));
    }

    /// A command as the reader would type it.
    pub fn command(&self, who: &str, line: &str) {
        self.print(&format!("   {} {}\n", self.paint("33", &format!("{who} $")), self.paint("1", line)));
    }

    /// What a program printed, indented; cut where it is too much to read.
    pub fn output(&self, text: &str) {
        let lines: Vec<&str> = text.trim_end().lines().collect();
        for line in lines.iter().take(LINES_MAX) {
            let cut: String = line.chars().filter(|c| !c.is_control()).take(COLUMNS_MAX).collect();
            self.print(&format!("   {}\n", self.paint("2", &format!("│ {cut}"))));
        }
        if let Some(more) = lines.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
            self.print(&format!("   {}\n", self.paint("2", &format!("│ … {more} more lines"))));
        }
    }

    /// The verdict on what was just shown: what had to be true, and what was seen instead if it was not.
    pub fn check(&self, promise: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.print(&format!("   {} {promise}\n", self.paint("32", "✓"))),
            Err(seen) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.print(&format!("   {} {promise}\n     {seen}\n", self.paint("1;31", "✗ FAILED:")));
            }
        }
    }

    /// How many checks failed.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Says that something begins which takes a moment; [`Step::done`] ends the line.
    pub fn begin(&self, text: &str) -> Step<'_> {
        self.print(&format!("   {text} … "));
        Step { stage: self, begun: Instant::now() }
    }
}

/// A line that is still open.
pub struct Step<'a> {
    stage: &'a Stage,
    begun: Instant,
}

impl Step<'_> {
    /// Ends the line with what came of it and the time it took.
    pub fn done(self, result: &str) {
        self.stage.print(&format!("{result} ({:.1} s)\n", self.begun.elapsed().as_secs_f64()));
    }
}
