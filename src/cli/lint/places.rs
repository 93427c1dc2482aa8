//! Where in a file things stand: the lines of every value, and comments that allow findings.

use serde_saphyr::granit_parser::{self, Event, Parser, Span};

use crate::core::lint::Code;

/// A value of a document, with the line on which it (or its key) begins; lines count from 1.
#[derive(Debug)]
pub struct Node {
    pub line: usize,
    last: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
    Leaf(String),
}

/// The documents of a text. What the parser cannot read is left out: whoever parsed the text before has said so.
pub fn documents(text: &str) -> Vec<Node> {
    let options = granit_parser::options! { emit_comments: false };
    let mut builder = Builder { open: Vec::new(), found: Vec::new() };
    for event in Parser::new_from_str_with_options(text, options) {
        let Ok((event, span)) = event else { break };
        builder.take(event, span);
    }
    builder.found
}

struct Builder {
    open: Vec<(usize, Inside)>,
    found: Vec<Node>,
}

enum Inside {
    Map { entries: Vec<(String, Node)>, key: Option<(String, usize)> },
    List(Vec<Node>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) {
        let (line, last) = (span.start.line().max(1), span.end.line().max(1));
        match event {
            Event::Scalar(text, ..) => self.add(Node { line, last, content: Content::Leaf(text.into_owned()) }),
            Event::Alias(_) => self.add(Node { line, last, content: Content::Leaf(String::new()) }),
            Event::SequenceStart(..) => self.open.push((line, Inside::List(Vec::new()))),
            Event::MappingStart(..) => self.open.push((line, Inside::Map { entries: Vec::new(), key: None })),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((line, inside)) = self.open.pop() else { return };
                let content = match inside {
                    Inside::Map { entries, .. } => Content::Map(entries),
                    Inside::List(items) => Content::List(items),
                };
                self.add(Node { line, last, content });
            }
            _ => {}
        }
    }

    fn add(&mut self, mut node: Node) {
        match self.open.last_mut() {
            None => self.found.push(node),
            Some((_, Inside::List(items))) => items.push(node),
            Some((_, Inside::Map { entries, key })) => match (key.take(), &node.content) {
                (Some((name, line)), _) => {
                    node.line = line;
                    entries.push((name, node));
                }
                (None, Content::Leaf(text)) => *key = Some((text.clone(), node.line)),
                (None, _) => *key = Some((String::new(), node.line)),
            },
        }
    }
}

/// Members by which items of lists are called in paths.
const NAMES: [&str; 4] = ["name", "container", "severity", "id"];

impl Node {
    fn child(&self, step: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|(name, _)| name == step).map(|(_, node)| node),
            Content::List(items) => {
                let is_called = |item: &&Self| {
                    NAMES.iter().any(|name| matches!(item.child(name).map(|n| &n.content), Some(Content::Leaf(text)) if text == step))
                };
                items.iter().find(is_called).or_else(|| items.get(step.parse::<usize>().ok()?))
            }
            Content::Leaf(_) => None,
        }
    }

    /// The lines on the way to `path`, outermost first: those of every part that can be found.
    pub fn way(&self, path: &str) -> Vec<usize> {
        let mut lines = Vec::new();
        let mut node = self;
        let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty());
        for step in steps {
            let Some(next) = node.child(step) else { break };
            lines.push(next.line);
            node = next;
        }
        lines
    }

    /// Whether it is an empty document.
    pub fn is_nothing(&self) -> bool {
        matches!(&self.content, Content::Leaf(text) if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// Whether the line lies inside of a text that goes over several.
    fn is_in_text(&self, line: usize) -> bool {
        match &self.content {
            Content::Map(entries) => entries.iter().any(|(_, node)| node.is_in_text(line)),
            Content::List(items) => items.iter().any(|item| item.is_in_text(line)),
            Content::Leaf(text) => text.contains('\n') && self.line < line && line <= self.last,
        }
    }
}

/// A comment that allows something, or that is meant to.
#[derive(Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Where it stands.
    pub line: usize,
    /// What it is about.
    pub scope: Scope,
    /// What it allows, and why; or what is wrong with it.
    pub allows: Result<(Vec<Code>, String), String>,
}

/// What a suppression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything that begins on this line.
    Line(usize),
    /// The file.
    File,
}

const MARK: &str = "trimtab-lint:";

/// The suppressions of a text whose documents are `documents`.
pub fn suppressions(text: &str, documents: &[Node]) -> Vec<Suppression> {
    if !text.contains(MARK) {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((before, comment)) = comment(line) else { continue };
        let number = index + 1;
        if documents.iter().any(|document| document.is_in_text(number)) {
            continue;
        }
        // Alone on its line it is about the next one that says something.
        let about = if before.trim().is_empty() {
            let says = |(_, line): &(usize, &&str)| !line.trim_start().starts_with('#') && !line.trim().is_empty();
            lines.iter().enumerate().skip(index + 1).find(says).map_or(number, |(index, _)| index + 1)
        } else {
            number
        };
        found.push(parse(comment, number, about));
    }
    found
}

/// The text before a comment of ours, and what it says.
fn comment(line: &str) -> Option<(&str, &str)> {
    line.match_indices('#').find_map(|(at, _)| {
        let (before, after) = line.split_at(at);
        let said = after.trim_start_matches('#').trim_start().strip_prefix(MARK)?;
        // A # inside of a word or of quotes begins no comment.
        let begins = before.is_empty() || before.ends_with([' ', '\t']);
        let quoted = before.matches('"').count() % 2 == 1 || before.matches('\'').count() % 2 == 1;
        (begins && !quoted).then(|| (before, said.trim()))
    })
}

fn parse(said: &str, line: usize, about: usize) -> Suppression {
    let mut words = said.split_whitespace();
    let scope = match words.next() {
        Some("allow") => Scope::Line(about),
        Some("allow-file") => Scope::File,
        other => {
            let message = format!(
                "says \"{}\" behind trimtab-lint: there are allow and allow-file",
                other.unwrap_or_default().escape_debug()
            );
            return Suppression { line, scope: Scope::Line(about), allows: Err(message) };
        }
    };
    let mut codes = Vec::new();
    let named: Vec<&str> = words.next().unwrap_or_default().split(',').filter(|code| !code.is_empty()).collect();
    for name in &named {
        match Code::find(name) {
            Some(code @ (Code::SuppressionUnreadable | Code::SuppressionUnused)) => {
                let allows = Err(format!("allows {code}, which is about suppressions and cannot be allowed"));
                return Suppression { line, scope, allows };
            }
            Some(code) => codes.push(code),
            None => {
                let allows = Err(format!("allows {}, which is no code that exists", name.escape_debug()));
                return Suppression { line, scope, allows };
            }
        }
    }
    let reason = words.collect::<Vec<_>>().join(" ");
    let allows = if codes.is_empty() {
        Err("names no code: write allow TT0023 and the reason".to_owned())
    } else if reason.is_empty() {
        Err(format!("allows {} without a reason: say why", named.join(",")))
    } else {
        Ok((codes, reason))
    };
    Suppression { line, scope, allows }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# trimtab-lint: allow-file TT0042 measured
spec:
  # trimtab-lint: allow TT0023,pool-waits-for-ever the batch may wait
  #
  pools:
  - name: db
    size: {value: 1,
           max: 2}
  - {name: b, size: {value: 3}}  # trimtab-lint: allow TT0025 no reason needed
  data:
    text: |
      # trimtab-lint: allow TT0001 inside of a text
      b
---
second: \"# trimtab-lint: allow TT0001 quoted\" #trimtab-lint: deny
";

    #[test]
    fn every_value_has_a_line() {
        let documents = documents(TEXT);
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].way("spec.pools.db.size.max"), [2, 5, 6, 7, 8]);
        assert_eq!(documents[0].way("spec.pools[1].size.value"), [2, 5, 9, 9, 9]);
        assert_eq!(documents[0].way("spec.nothing.at.all"), [2]);
        assert_eq!(documents[1].way("second"), [15]);
    }

    #[test]
    fn suppressions_are_comments_and_nothing_else() {
        let found = suppressions(TEXT, &documents(TEXT));
        let scopes: Vec<_> = found.iter().map(|one| (one.line, one.scope)).collect();
        assert_eq!(scopes, [(1, Scope::File), (3, Scope::Line(5)), (9, Scope::Line(9)), (15, Scope::Line(15))]);
        let (codes, reason) = found[1].allows.as_ref().unwrap();
        assert_eq!((&codes[..], &**reason), (&[Code::PoolWaitHides, Code::PoolWaitsForEver][..], "the batch may wait"));
        assert!(found[3].allows.as_ref().unwrap_err().contains("deny"));
    }

    #[test]
    fn suppressions_that_mean_nothing_say_so() {
        for (text, why) in [
            ("allow TT9999 x", "no code that exists"),
            ("allow TT0023", "without a reason"),
            ("allow", "names no code"),
            ("allow TT0004 x", "cannot be allowed"),
        ] {
            let text = format!("# trimtab-lint: {text}\na: 1\n");
            let found = suppressions(&text, &documents(&text));
            assert!(found[0].allows.as_ref().unwrap_err().contains(why), "{found:?}");
        }
    }
}
