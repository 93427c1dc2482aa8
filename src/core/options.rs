//! Options of a runtime in the environment variable that it reads them from, edited one at a time.
//!
//! | variable | how it is split | of two options the |
//! |---|---|---|
//! | `JAVA_TOOL_OPTIONS` | at white space; `'` and `"` quote, nothing escapes | last counts; two collectors stop the JVM |
//! | `NODE_OPTIONS` | at spaces only; `"` quotes, in it `\` escapes | last counts; `_` is `-` |
//! | `GUNICORN_CMD_ARGS` | as Python's `shlex` in POSIX mode | last counts; unique prefixes of names are names |
//!
//! Such a variable can load code (`-javaagent`, `--require`), so a policy never sets it as a whole: it sets options of the
//! [catalogue](Known), whose values are numbers, switches and one of a list of collectors. Every other byte of the variable
//! stays as it is.
//!
//! **Which variable an `option` lands in** follows from the catalogue alone: each token is in it once, so none is ambiguous. A
//! token that is not in the catalogue is refused.

mod edit;
mod known;
mod split;

pub use self::{
    edit::{Wanted, find_text, restore, set},
    known::{
        COLLECTOR, COLLECTORS, HEAP_MAX, HEAP_MIN, Known, MAX_OLD_SPACE, MAX_RAM, MIN_HEAP, SOFT_MAX, SWITCHES, Unit,
        WORKERS, is_collector, known, of, tokens,
    },
    split::{SplitError, Variable, Word, shell_words},
};

#[cfg(test)]
mod tests;
