//! Where the lines go: drawn in place on a terminal, one after the other elsewhere.

use std::io::{IsTerminal, Write, stdout};

use anyhow::Result;

/// Standard output.
#[derive(Debug)]
pub struct Screen {
    /// Whether it is a terminal.
    pub terminal: bool,
    /// How many lines the last drawing took.
    drawn: usize,
    /// How many times lines were offered.
    offered: u32,
}

/// Elsewhere than on a terminal, one drawing in so many is printed.
const ONE_IN: u32 = 25;

impl Screen {
    /// Standard output as it is.
    pub fn new() -> Self {
        Self { terminal: stdout().is_terminal(), drawn: 0, offered: 0 }
    }

    /// Prints a text that stays.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.drawn = 0;
        writeln!(stdout(), "{text}")?;
        Ok(())
    }

    /// Draws the lines over those drawn last; elsewhere than on a terminal, prints them every few seconds.
    pub fn draw(&mut self, lines: &[String]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.offered = self.offered.wrapping_add(1);
        if !self.terminal {
            if self.offered % ONE_IN == 1 {
                lines.iter().try_for_each(|line| writeln!(stdout(), "{line}"))?;
                writeln!(stdout())?;
            }
            return Ok(());
        }
        let back = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
        let rows: String = lines.iter().flat_map(|line| ["\r", line, "\x1b[K\n"]).collect();
        // Without wrapping, each line takes one row, however narrow the terminal is.
        let frame = format!("{back}\x1b[?7l{rows}\x1b[J\x1b[?7h");
        self.drawn = lines.len();
        let mut out = stdout().lock();
        out.write_all(frame.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}
