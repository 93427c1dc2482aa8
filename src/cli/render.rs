//! Text for people: aligned columns, and colour only on a terminal.

use std::{env, io::IsTerminal as _};

/// How to paint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// Colour if stdout is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn detect() -> Self {
        Self(std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Stands out.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Goes well.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Changes, or waits.
    #[must_use]
    pub fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Goes wrong.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Stands back.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
}

/// Rows in aligned columns, two spaces apart, without trailing blanks. The widths are those of characters, so rows must not
/// be painted yet.
#[must_use]
pub fn table(indent: usize, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters_and_end_without_blanks() {
        let rows = [vec!["a→b".to_owned(), "x".to_owned()], vec!["lengthy".to_owned(), String::new()]];
        assert_eq!(table(2, &rows), "  a→b      x\n  lengthy\n");
    }

    #[test]
    fn plain_paint_adds_nothing() {
        assert_eq!(Paint(false).bad("no"), "no");
    }
}
