//! The operator and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    trimtab::cli::main("trimtab")
}
