//! What commands print, and how they fail.

use std::io::Write;

pub type Error = Box<dyn std::error::Error>;

/// Prints a line at once, also into a pipe.
pub fn print_line(line: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
