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

/// A text as a part of a Markdown line (`CommonMark` with GitHub's extensions): what would begin a cell, a tag, an entity, a link,
/// a formula, code, emphasis or a strike-through is only a character. What is none of these stays as people wrote it: `<20s`,
/// `DB_POOL_SIZE`, `a & b`.
#[must_use]
pub fn markdown(text: &str) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len());
    let mut before: Option<char> = None;
    for (at, c) in text.char_indices() {
        let rest = text.get(at + c.len_utf8()..).unwrap_or_default();
        let next = rest.chars().next();
        match c {
            '|' | '\\' | '`' | '*' | '[' | '~' | '$' => out.extend(['\\', c]),
            // Inside of a word it is a character by itself.
            '_' if ![before, next].iter().all(|beside| beside.is_some_and(char::is_alphanumeric)) => {
                out.extend(['\\', c]);
            }
            // `<20s` stays as it is; what could be a tag, a comment, a marker or an address does not.
            '<' if next.is_some_and(|next| next.is_ascii_alphabetic() || "/!?".contains(next)) || is_address(rest) => {
                out.push_str("&lt;");
            }
            '&' if next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '#') => out.push_str("&amp;"),
            _ => out.push(c),
        }
        before = Some(c);
    }
    out
}

/// Whether `<` and this could be an address of mail, which would be a link without its brackets.
fn is_address(rest: &str) -> bool {
    rest.split_once('>').is_some_and(|(inside, _)| inside.contains('@') && !inside.contains(' '))
}

/// A text as a Markdown line of its own: neither does its begin make it a heading, a list, a quotation or a rule.
#[must_use]
pub fn markdown_line(text: &str) -> String {
    let text = one_line(text);
    let text = text.trim_matches(' ');
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mark = match text.get(digits..).and_then(|rest| rest.chars().next()) {
        Some('.' | ')') if digits > 0 => Some(digits),
        Some('#' | '+' | '-' | '=' | '>' | ':') if digits == 0 => Some(0),
        _ => None,
    };
    let Some((head, tail)) = mark.and_then(|at| text.split_at_checked(at)) else { return markdown(text) };
    format!("{head}\\{}", markdown(tail))
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

    /// What a reader of Markdown makes of a text: its cells, or its only paragraph; nothing where anything in it is more than
    /// text.
    fn read_back(markdown: &str) -> Option<Vec<String>> {
        use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_GFM
            | Options::ENABLE_MATH;
        let mut all = Vec::new();
        for event in Parser::new_ext(markdown, options) {
            match event {
                Event::Start(Tag::TableCell | Tag::Paragraph) => all.push(String::new()),
                Event::Start(Tag::Table(_) | Tag::TableHead | Tag::TableRow)
                | Event::End(
                    TagEnd::Table | TagEnd::TableHead | TagEnd::TableRow | TagEnd::TableCell | TagEnd::Paragraph,
                ) => {}
                Event::Text(text) => all.last_mut()?.push_str(&text),
                _ => return None,
            }
        }
        Some(all)
    }

    /// Texts in which everything that Markdown takes for its own is frequent.
    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-c0-2 _*~|`<>&\\\\!\\[\\](){}#$@:/.=+'\"^-]{0,24}",
            "[<>{@0a.!?:/]{0,8}",
            "([a-c]|[_*~`$]{1,3}|é|—|€| ){0,12}",
            "(\\|[ :-]|[0-9]{1,3}[.)] |[-+*>#=] |&amp;|&#124;|<!-- |https?://a_b_ |\\[\\^1\\]: ){0,6}",
            "[^\\x00]{0,24}",
        ]
    }

    #[test]
    fn no_cell_is_more_than_text() {
        for (cell, spelled) in [
            ("a|b", "a\\|b"),
            ("a\nb\tc", "a b c"),
            ("<b>", "&lt;b>"),
            ("<{x@0>, <20s@b>", "&lt;{x@0>, &lt;20s@b>"),
            ("<!-- EMBED:X:END -->", "&lt;!-- EMBED:X:END -->"),
            ("[x](y)", "\\[x](y)"),
            ("`id` \\| &lt;", "\\`id\\` \\\\\\| &amp;lt;"),
            ("_a_ *b* ~~c~~ $d$", "\\_a\\_ \\*b\\* \\~\\~c\\~\\~ \\$d\\$"),
            // What reads as it is stays as it is.
            ("DB_POOL_SIZE & more: <20s, 3 > 2 (x) #1", "DB_POOL_SIZE & more: <20s, 3 > 2 (x) #1"),
        ] {
            assert_eq!(markdown(cell), spelled);
        }
        for (line, spelled) in [
            ("# a", "\\# a"),
            ("- a", "\\- a"),
            ("1. a", "1\\. a"),
            ("12) a", "12\\) a"),
            ("> a", "\\> a"),
            ("  a", "a"),
            ("12 a", "12 a"),
            ("*a", "\\*a"),
        ] {
            assert_eq!(markdown_line(line), spelled);
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
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_reader_of_markdown_gives_every_text_back(cells in proptest::collection::vec(any_text(), 1..4)) {
            // Only blanks go at the ends.
            let plain = |text: &String| one_line(text).trim_matches(' ').to_owned();
            let mut table = Table { columns: cells.clone(), ..Table::new("T", &[]) };
            table.rows.push(cells.clone());
            let markdown = table.markdown();
            let wanted: Vec<String> = cells.iter().chain(&cells).map(plain).collect();
            prop_assert_eq!(read_back(&markdown), Some(wanted), "{}", markdown);
            for line in cells.iter().map(plain).filter(|line| !line.is_empty()) {
                let markdown = markdown_line(&line);
                prop_assert_eq!(read_back(&markdown), Some(vec![line]), "{}", markdown);
            }
        }
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
