//! Tables for people: one model, and how Markdown, CSV and HTML spell it so that no cell becomes anything but text.
//!
//! Owns escaping and the markers of documents ([`embed`]). Must not know where a cell comes from.

pub mod embed;

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name, as between markers.
    pub name: String,
    /// Headings.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(name: &str, columns: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// As Markdown (GitHub's), each line ended.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| markdown(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(&self.columns);
        text.push_str(&format!("|{}\n", " --- |".repeat(self.columns.len())));
        for row in &self.rows {
            text.push_str(&line(row));
        }
        text
    }

    /// As CSV with headings (RFC 4180, lines ended by a line feed).
    #[must_use]
    pub fn csv(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| csv(cell)).collect();
            format!("{}\n", cells.join(","))
        };
        [&self.columns].into_iter().chain(&self.rows).map(|row| line(row)).collect()
    }

    /// As an HTML table.
    #[must_use]
    pub fn html(&self) -> String {
        let line = |tag: &str, cells: &[String]| {
            let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", html(cell))).collect::<Vec<_>>().concat();
            format!("<tr>{cells}</tr>\n")
        };
        let rows: String = self.rows.iter().map(|row| line("td", row)).collect();
        format!(
            "<table>\n<caption>{}</caption>\n<thead>\n{}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n",
            html(&self.name),
            line("th", &self.columns)
        )
    }
}

/// A text as a part of a Markdown line: what would begin a cell, a tag, an entity, a link or code is only a character.
#[must_use]
pub fn markdown(text: &str) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '|' | '\\' | '`' | '*' | '[' => {
                out.push('\\');
                out.push(c);
            }
            // `<20s` stays as it is; what could be a tag, a comment or a marker does not.
            '<' if next.is_some_and(|next| next.is_ascii_alphabetic() || "/!?".contains(next)) => out.push_str("&lt;"),
            '&' if next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '#') => out.push_str("&amp;"),
            _ => out.push(c),
        }
    }
    out
}

/// A text as a cell of CSV. What a spreadsheet would take for a formula is marked as text.
fn csv(text: &str) -> String {
    let text = one_line(text);
    let is_formula = text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err();
    let text = if is_formula { format!("'{text}") } else { text };
    if text.contains(['"', ',']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A text as a part of an HTML document.
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Line ends and other control characters become blanks.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(cell: &str) -> Table {
        let mut table = Table::new("T", &["Metric", "Current"]);
        table.rows.push(vec![cell.to_owned(), "<20s".to_owned()]);
        table
    }

    #[test]
    fn a_table_in_every_format() {
        let table = table("API p95");
        assert_eq!(table.markdown(), "| Metric | Current |\n| --- | --- |\n| API p95 | <20s |\n");
        assert_eq!(table.csv(), "Metric,Current\nAPI p95,<20s\n");
        assert!(table.html().contains("<tr><td>API p95</td><td>&lt;20s</td></tr>"));
    }

    #[test]
    fn no_cell_is_more_than_text() {
        for (cell, spelled) in [
            ("a|b", "a\\|b"),
            ("a\nb\tc", "a b c"),
            ("<b>", "&lt;b>"),
            ("<!-- EMBED:X:END -->", "&lt;!-- EMBED:X:END -->"),
            ("[x](y)", "\\[x](y)"),
            ("`id` \\| &lt;", "\\`id\\` \\\\\\| &amp;lt;"),
        ] {
            assert_eq!(markdown(cell), spelled);
        }
        for (cell, spelled) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-1.5", "-1.5"),
            ("-1+2", "'-1+2"),
            ("\t=1", " =1"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
        ] {
            assert_eq!(csv(cell), spelled);
        }
        assert_eq!(html("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }

    proptest! {
        #[test]
        fn whatever_is_in_the_cells_the_shape_stays(cells in proptest::collection::vec("[^\\x00]{0,24}", 1..5)) {
            let mut table = Table::new("T", &vec!["C"; cells.len()]);
            table.rows.push(cells.clone());
            let markdown = table.markdown();
            prop_assert_eq!(markdown.lines().count(), 3);
            let last = markdown.lines().last().unwrap();
            // Bars that no backslash takes away: an even number of backslashes stands before each.
            let mut bars = 0;
            let mut escaped = false;
            for c in last.chars() {
                match (c, escaped) {
                    (_, true) => escaped = false,
                    ('\\', false) => escaped = true,
                    ('|', false) => bars += 1,
                    _ => {}
                }
            }
            prop_assert_eq!(bars, cells.len() + 1);
            prop_assert!(!markdown.contains("<!--"));
            let html = table.html();
            prop_assert_eq!(html.matches("<td>").count(), cells.len());
            prop_assert_eq!(html.matches("<script").count(), 0);
            let csv = table.csv();
            prop_assert_eq!(csv.lines().count(), 2);
        }
    }
}
