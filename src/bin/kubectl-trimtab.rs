//! The same command line as a plugin: `kubectl trimtab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    trimtab::cli::main("kubectl trimtab")
}
