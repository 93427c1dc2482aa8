//! The path of one field in an object.

use std::{cmp::Ordering, collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use serde_json::Value;

use super::json;

/// One step of a [`FieldPath`]. Paths of one object share their steps: sets of them are made and compared with every plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A member of an object or of a map (`f:` in `FieldsV1`).
    Field(Arc<str>),
    /// An item of an associative list, by the scalars that identify it (`k:`).
    Key(Arc<BTreeMap<String, Value>>),
    /// An item of a set, by its value (`v:`).
    Item(Value),
    /// An item by position (`i:`).
    Index(usize),
}

impl Segment {
    /// As `FieldsV1` writes it.
    pub(super) fn wire(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let map = keys.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                format!("k:{}", json::canonical(&Value::Object(map)))
            }
            Self::Item(value) => format!("v:{}", json::canonical(value)),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads what `FieldsV1` writes. `None` for a form that is not known.
    pub(super) fn from_wire(text: &str) -> Option<Self> {
        let (form, rest) = text.split_once(':')?;
        match form {
            "f" => Some(Self::Field(rest.into())),
            "k" => match serde_json::from_str(rest).ok()? {
                Value::Object(map) => Some(Self::Key(Arc::new(map.into_iter().collect()))),
                _ => None,
            },
            "v" => serde_json::from_str(rest).ok().map(Self::Item),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }
}

impl Ord for Segment {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                let unequal = a
                    .iter()
                    .zip(b.iter())
                    .map(|(a, b)| a.0.cmp(b.0).then_with(|| json::compare(a.1, b.1)))
                    .find(|o| o.is_ne());
                unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (Self::Item(a), Self::Item(b)) => json::compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Segment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

const fn rank(segment: &Segment) -> u8 {
    match segment {
        Segment::Field(_) => 0,
        Segment::Key(_) => 1,
        Segment::Item(_) => 2,
        Segment::Index(_) => 3,
    }
}

/// The path of one field, from the object's root.
///
/// `Display` writes what the API server's messages write:
/// `.spec.template.spec.containers[name="api"].env[name="DB_POOL_SIZE"].value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The path through these members.
    #[must_use]
    pub fn of(fields: &[&str]) -> Self {
        Self(fields.iter().map(|&field| Segment::Field(field.into())).collect())
    }

    /// The path of these steps.
    #[must_use]
    pub const fn new(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// The member `name` of what this path names.
    #[must_use]
    pub fn field(self, name: &str) -> Self {
        self.then(Segment::Field(name.into()))
    }

    /// The item of the list at this path whose member `name` is `value`.
    #[must_use]
    pub fn key(self, name: &str, value: impl Into<Value>) -> Self {
        self.keys([(name, value.into())])
    }

    /// The item of the list at this path that all these members identify (a port: `containerPort` and `protocol`).
    #[must_use]
    pub fn keys<const N: usize>(self, keys: [(&str, Value); N]) -> Self {
        let keys = keys.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.then(Segment::Key(Arc::new(keys)))
    }

    /// One step further.
    #[must_use]
    pub fn then(mut self, segment: Segment) -> Self {
        self.0.push(segment);
        self
    }

    /// The steps.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Without the last step; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.0.split_last()?;
        Some(Self(parents.to_vec()))
    }

    /// Whether this path is `ancestor` or lies below it.
    #[must_use]
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        self.0.starts_with(&ancestor.0)
    }

    /// Reads the text that [`Display`](fmt::Display) and the API server write (`field` of a conflict's causes).
    ///
    /// The text does not say where the name of a member ends when it has dots of its own. So what follows a member that is
    /// known to hold a map of free names (`annotations`, `labels`, `data`, `limits`, …) is taken as one name; every other
    /// member ends at the next dot or bracket.
    ///
    /// # Errors
    /// [`PathError`] when the text is not of that form.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        text.parse()
    }

    /// The value at this path in `content` (an object without its metadata). `None` when there is nothing.
    ///
    /// A variable without `value` has the empty text: the API server takes an empty `value` and does not store it.
    #[must_use]
    pub fn lookup<'a>(&self, content: &'a Value) -> Option<&'a Value> {
        let found = self.0.iter().try_fold(content, |value, segment| match segment {
            Segment::Field(name) => value.get(&**name),
            Segment::Key(keys) => value.as_array()?.iter().find(|item| identifies(keys, item)),
            Segment::Item(wanted) => value.as_array()?.iter().find(|item| json::same(item, wanted)),
            Segment::Index(index) => value.get(index),
        });
        found.or_else(|| self.is_blank_variable(content).then_some(&EMPTY))
    }

    /// Puts a value at this path in `content`, where the list or the map that it belongs to is there.
    pub fn put(&self, content: &mut Value, value: &Value) {
        let Some((last, parents)) = self.0.split_last() else { return };
        let Some(parent) = parents.iter().try_fold(content, step_into) else { return };
        match last {
            Segment::Field(name) => {
                if let Some(map) = parent.as_object_mut() {
                    map.insert(name.to_string(), value.clone());
                }
            }
            Segment::Key(_) | Segment::Item(_) | Segment::Index(_) => {
                if let Some(place) = step_into(parent, last) {
                    place.clone_from(value);
                }
            }
        }
    }

    /// Takes out of `content` what is at this path.
    pub fn remove(&self, content: &mut Value) {
        let Some((last, parents)) = self.0.split_last() else { return };
        let Some(parent) = parents.iter().try_fold(content, step_into) else { return };
        match (last, parent) {
            (Segment::Field(name), Value::Object(map)) => drop(map.remove(&**name)),
            (Segment::Key(keys), Value::Array(items)) => items.retain(|item| !identifies(keys, item)),
            (Segment::Item(wanted), Value::Array(items)) => items.retain(|item| !json::same(item, wanted)),
            (Segment::Field(_) | Segment::Key(_) | Segment::Item(_) | Segment::Index(_), _) => {}
        }
    }

    fn is_blank_variable(&self, content: &Value) -> bool {
        let [.., Segment::Field(list), Segment::Key(_), Segment::Field(member)] = self.0.as_slice() else {
            return false;
        };
        let variable =
            || self.parent().and_then(|item| item.lookup(content).map(|item| item.get("valueFrom").is_none()));
        &**list == "env" && &**member == "value" && variable() == Some(true)
    }
}

/// What a segment leads to.
fn step_into<'a>(value: &'a mut Value, segment: &Segment) -> Option<&'a mut Value> {
    match segment {
        Segment::Field(name) => value.get_mut(&**name),
        Segment::Key(keys) => value.as_array_mut()?.iter_mut().find(|item| identifies(keys, item)),
        Segment::Item(wanted) => value.as_array_mut()?.iter_mut().find(|item| json::same(item, wanted)),
        Segment::Index(index) => value.get_mut(index),
    }
}

static EMPTY: Value = Value::String(String::new());

/// Whether `item` is the one that `keys` name. A port without `protocol` is `TCP`: the one key that the API server defaults.
pub(super) fn identifies(keys: &BTreeMap<String, Value>, item: &Value) -> bool {
    keys.iter().all(|(name, wanted)| match item.get(name) {
        Some(value) => json::same(value, wanted),
        None => item.is_object() && name == "protocol" && wanted == "TCP",
    })
}

/// Members that hold a map whose names may contain dots.
const MAPS: [&str; 9] =
    ["annotations", "labels", "matchLabels", "nodeSelector", "limits", "requests", "data", "binaryData", "parameters"];

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| segment.fmt(f))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (i, (name, value)) in keys.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", Quoted(value))?;
                }
                f.write_str("]")
            }
            Self::Item(value) => write!(f, "[={}]", Quoted(value)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A scalar as the API server's messages write it: text as Go's `%q` does.
struct Quoted<'a>(&'a Value);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(text) = self.0.as_str() else { return f.write_str(&json::canonical(self.0)) };
        f.write_str("\"")?;
        for c in text.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{b}' => f.write_str("\\v")?,
                '\u{c}' => f.write_str("\\f")?,
                c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// A text that is no field path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field path {text:?}: {what} at byte {at}")]
pub struct PathError {
    /// The whole text.
    pub text: String,
    /// Where it goes wrong.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text, rest: text };
        let mut segments = Vec::new();
        while !reader.rest.is_empty() {
            if reader.take('.') {
                let in_map = matches!(segments.last(), Some(Segment::Field(name)) if MAPS.contains(&&**name));
                let end = if in_map { reader.rest.len() } else { reader.until(&['.', '[']) };
                segments.push(Segment::Field(reader.split(end).into()));
            } else if reader.take('[') {
                segments.push(reader.bracket()?);
            } else {
                return Err(reader.error("expected `.` or `[`"));
            }
        }
        Ok(Self(segments))
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn error(&self, what: &'static str) -> PathError {
        PathError { text: self.text.to_owned(), at: self.text.len() - self.rest.len(), what }
    }

    fn take(&mut self, c: char) -> bool {
        self.rest.strip_prefix(c).is_some_and(|rest| {
            self.rest = rest;
            true
        })
    }

    fn until(&self, stops: &[char]) -> usize {
        self.rest.find(stops).unwrap_or(self.rest.len())
    }

    fn split(&mut self, at: usize) -> &'a str {
        let (head, rest) = self.rest.split_at(at);
        self.rest = rest;
        head
    }

    /// What stands between brackets, up to and with the closing one.
    fn bracket(&mut self) -> Result<Segment, PathError> {
        if self.take('=') {
            let value = self.scalar()?;
            return if self.take(']') { Ok(Segment::Item(value)) } else { Err(self.error("expected `]`")) };
        }
        let digits = self.until(&[']']);
        if let Some(Ok(index)) = self.rest.get(..digits).map(str::parse) {
            self.split(digits);
            return if self.take(']') { Ok(Segment::Index(index)) } else { Err(self.error("expected `]`")) };
        }
        let mut keys = BTreeMap::new();
        loop {
            let end = self.until(&['=', ']', ',', '[']);
            let name = self.split(end);
            if name.is_empty() || !self.take('=') {
                return Err(self.error("expected a member and `=`"));
            }
            let value = self.scalar()?;
            keys.insert(name.to_owned(), value);
            if self.take(']') {
                return Ok(Segment::Key(Arc::new(keys)));
            }
            if !self.take(',') {
                return Err(self.error("expected `,` or `]`"));
            }
        }
    }

    fn scalar(&mut self) -> Result<Value, PathError> {
        if self.take('"') {
            return self.quoted().map(Value::String);
        }
        let end = self.until(&[',', ']']);
        match self.rest.get(..end).map(serde_json::from_str) {
            Some(Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_)))) => {
                self.split(end);
                Ok(value)
            }
            _ => Err(self.error("expected a text in quotes, a number, a boolean or null")),
        }
    }

    /// What Go's `%q` wrote, from behind the opening quote.
    fn quoted(&mut self) -> Result<String, PathError> {
        let mut out = String::new();
        loop {
            let plain = self.until(&['"', '\\']);
            out.push_str(self.split(plain));
            if self.take('"') {
                return Ok(out);
            }
            if !self.take('\\') {
                return Err(self.error("the text in quotes does not end"));
            }
            let Some(c) = self.rest.chars().next() else { continue };
            self.split(c.len_utf8());
            out.push(match c {
                '"' | '\\' | '\'' => c,
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'a' => '\u{7}',
                'b' => '\u{8}',
                'v' => '\u{b}',
                'f' => '\u{c}',
                'x' => self.code_point(2)?,
                'u' => self.code_point(4)?,
                'U' => self.code_point(8)?,
                _ => return Err(self.error("unknown escape")),
            });
        }
    }

    fn code_point(&mut self, digits: usize) -> Result<char, PathError> {
        let code = self.rest.get(..digits).and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        let Some(c) = code else { return Err(self.error("expected the hexadecimal number of a character")) };
        self.split(digits);
        Ok(c)
    }
}

#[cfg(test)]
pub(in crate::core) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from)
        ]
    }

    /// Any path that an object of Kubernetes can have.
    pub(in crate::core) fn path() -> impl Strategy<Value = FieldPath> {
        let segment = prop_oneof![
            4 => "[a-zA-Z_-]{1,12}".prop_map(|name| Segment::Field(name.into())),
            2 => proptest::collection::btree_map("[a-zA-Z]{1,9}", scalar(), 1..3).prop_map(|keys| Segment::Key(Arc::new(keys))),
            1 => scalar().prop_map(Segment::Item),
            1 => (0usize..100).prop_map(Segment::Index),
        ];
        proptest::collection::vec(segment, 1..7)
            .prop_filter("a map holds names only", |segments| {
                segments.windows(2).all(|w| !matches!(&w[0], Segment::Field(name) if MAPS.contains(&&**name)))
            })
            .prop_map(FieldPath)
    }

    #[track_caller]
    fn check(path: &FieldPath, text: &str) {
        assert_eq!(path.to_string(), text);
        assert_eq!(FieldPath::parse(text).as_ref(), Ok(path));
    }

    #[test]
    fn paths_read_and_write_as_the_api_server_writes_them() {
        let template = FieldPath::of(&["spec", "template", "spec", "containers"]);
        let env = template.clone().key("name", "api").field("env").key("name", "DB_POOL_SIZE").field("value");
        check(&env, r#".spec.template.spec.containers[name="api"].env[name="DB_POOL_SIZE"].value"#);
        let port =
            template.key("name", "api").field("ports").keys([("protocol", json!("TCP")), ("containerPort", json!(80))]);
        check(&port, r#".spec.template.spec.containers[name="api"].ports[containerPort=80,protocol="TCP"]"#);
        check(
            &FieldPath::of(&["metadata", "finalizers"]).then(Segment::Item(json!("a/b"))),
            r#".metadata.finalizers[="a/b"]"#,
        );
        check(&FieldPath::of(&["spec", "list"]).then(Segment::Index(3)), ".spec.list[3]");
        check(&FieldPath::default(), "");
    }

    #[test]
    fn a_name_with_dots_is_one_name_where_a_map_holds_it() {
        check(&FieldPath::of(&["data", "config.yaml"]), ".data.config.yaml");
        check(
            &FieldPath::of(&["metadata", "annotations", "trimtab.dev/baseline.api"]),
            ".metadata.annotations.trimtab.dev/baseline.api",
        );
        let limits = FieldPath::of(&["spec", "template", "spec", "containers"])
            .key("name", "a")
            .field("resources")
            .field("limits");
        check(
            &limits.field("nvidia.com/gpu"),
            r#".spec.template.spec.containers[name="a"].resources.limits.nvidia.com/gpu"#,
        );
    }

    #[test]
    fn what_is_no_path_is_refused_with_its_place() {
        for (text, at) in [
            ("spec", 0),
            (".a[", 3),
            (".a[b", 4),
            (".a[b=", 5),
            (".a[b=x]", 5),
            (r#".a[b="x]"#, 8),
            (r#".a[b="\q"]"#, 8),
            (".a[1", 4),
            (".a[]", 3),
            (r#".a[="x""#, 7),
            (r#".a[b="\u12"]"#, 8),
        ] {
            let error = FieldPath::parse(text).unwrap_err();
            assert_eq!(error.at, at, "{error}");
        }
    }

    #[test]
    fn a_value_is_found_by_the_keys_of_its_list() {
        let content = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP", "name": "u"}]}], "set": ["x", "y"]}});
        let ports = FieldPath::of(&["spec", "containers"]).key("name", "a").field("ports");
        let port = |protocol: &str| ports.clone().keys([("containerPort", json!(80)), ("protocol", json!(protocol))]);
        assert_eq!(port("TCP").lookup(&content), Some(&json!({"containerPort": 80})));
        assert_eq!(port("UDP").field("name").lookup(&content), Some(&json!("u")));
        assert_eq!(port("SCTP").lookup(&content), None);
        assert_eq!(FieldPath::of(&["spec", "set"]).then(Segment::Item(json!("y"))).lookup(&content), Some(&json!("y")));
        assert_eq!(FieldPath::of(&["spec", "set"]).then(Segment::Index(2)).lookup(&content), None);
        assert_eq!(FieldPath::of(&["spec", "set", "x"]).lookup(&content), None);
    }

    #[test]
    fn a_variable_without_value_is_blank_and_one_with_a_source_is_not() {
        let content = json!({"env": [{"name": "A"}, {"name": "B", "valueFrom": {}}, {"name": "C", "value": "c"}]});
        let value = |name: &str| FieldPath::of(&["env"]).key("name", name).field("value");
        assert_eq!(value("A").lookup(&content), Some(&json!("")));
        assert_eq!(value("B").lookup(&content), None);
        assert_eq!(value("C").lookup(&content), Some(&json!("c")));
        assert_eq!(value("D").lookup(&content), None);
    }

    proptest! {
        #[test]
        fn every_path_survives_its_text(path in path()) {
            prop_assert_eq!(FieldPath::parse(&path.to_string()), Ok(path));
        }

        #[test]
        fn every_segment_survives_the_wire(path in path()) {
            for segment in path.segments() {
                let read = Segment::from_wire(&segment.wire());
                prop_assert_eq!(read.as_ref(), Some(segment));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>(), shaped in r#"[.\[\]a-c="\\xu0-9,]{0,24}"#) {
            let _ = FieldPath::parse(&text);
            let _ = FieldPath::parse(&shaped);
        }
    }
}
