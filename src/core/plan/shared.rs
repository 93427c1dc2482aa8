//! Parts of fields that several knobs share: options of a variable, flags among arguments, entries of the list of kernel
//! parameters.
//!
//! Kubernetes knows such a field as a whole only, and others write in it, too. What is compared, told and quarantined is
//! therefore the part of one knob: neither a neighbour's change nor a foreign one makes another value of it.

use serde_json::{Value as Json, json};

use crate::core::{
    catalogue::sysctl,
    options::{self, Known},
    policy::Landing,
};

/// The part of a field that is one knob's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An option of a variable.
    Option(&'static Known),
    /// A flag among arguments.
    Flag(Box<str>),
    /// A kernel parameter.
    Sysctl(Box<str>),
}

impl Piece {
    /// The piece that a knob with this landing place has; nothing where it has a field of its own.
    #[must_use]
    pub fn of(landing: &Landing) -> Option<Self> {
        match landing {
            Landing::Option(known) => Some(Self::Option(known)),
            Landing::Arg(flag) => Some(Self::Flag(flag.clone())),
            Landing::Sysctl(name) => Some(Self::Sysctl(name.clone())),
            Landing::Env(_)
            | Landing::Resource { .. }
            | Landing::Document { .. }
            | Landing::ConfigMapKey { .. }
            | Landing::Field(_)
            | Landing::Variable
            | Landing::NotEnforceable(_) => None,
        }
    }

    /// What a value of the field says of it.
    #[must_use]
    pub fn read(&self, value: Option<&Json>) -> Option<String> {
        match self {
            Self::Option(known) => options::find_text(known, value?.as_str()?).ok().flatten(),
            Self::Flag(flag) => flag_of(&words(value), flag).map(str::to_owned),
            Self::Sysctl(name) => {
                let entry = value?.as_array()?.iter().find(|entry| is_sysctl(entry, name))?;
                entry["value"].as_str().map(str::to_owned)
            }
        }
    }

    /// The field with the piece as `text`, and everything else as it is. What cannot be read is left alone: whoever plans,
    /// has refused it before.
    pub(super) fn set(&self, value: Option<&Json>, text: &str) -> Option<Json> {
        let changed = match self {
            Self::Option(known) => {
                let all = value.and_then(Json::as_str).unwrap_or_default();
                options::set(known.variable, all, &[(known, text)]).ok().map(Json::String)
            }
            Self::Flag(flag) => {
                let mut args = words(value);
                set_flag(&mut args, flag, text).ok().map(|()| json!(args))
            }
            Self::Sysctl(name) => {
                let mut list = value.and_then(Json::as_array).cloned().unwrap_or_default();
                match list.iter_mut().find(|entry| is_sysctl(entry, name)) {
                    // Another spelling of the same numbers is no change.
                    Some(entry) if sysctl::is_same(entry["value"].as_str().unwrap_or_default(), text) => {}
                    Some(entry) => entry["value"] = json!(text),
                    None => list.push(json!({"name": name, "value": text})),
                }
                Some(Json::Array(list))
            }
        };
        changed.or_else(|| value.cloned())
    }

    /// The field without the piece.
    fn remove(&self, value: Option<&Json>) -> Option<Json> {
        let value = value?;
        let changed = match self {
            Self::Option(known) => {
                let all = value.as_str()?;
                let text = options::find_text(known, all).ok().flatten();
                let wanted = text.as_deref().map(|text| (*known, text));
                options::restore(known.variable, all, "", wanted.as_slice()).ok().map(Json::String)
            }
            Self::Flag(flag) => Some(json!(without_flag(words(Some(value)), flag))),
            Self::Sysctl(name) => {
                let mut list = value.as_array()?.clone();
                list.retain(|entry| !is_sysctl(entry, name));
                Some(Json::Array(list))
            }
        };
        changed.or_else(|| Some(value.clone()))
    }
}

/// `live` with `pieces` as they are in `original`: the original to the byte, if nothing else differs. A field without pieces
/// is the original.
pub(super) fn restore(live: Option<&Json>, original: Option<&Json>, pieces: &[&Option<Piece>]) -> Option<Json> {
    let Some(pieces) = pieces.iter().map(|piece| piece.as_ref()).collect::<Option<Vec<&Piece>>>() else {
        return original.cloned();
    };
    let moved = |base: Option<&Json>, to: Option<&Json>| {
        pieces.iter().fold(base.cloned(), |value, piece| match piece.read(to) {
            Some(text) => piece.set(value.as_ref(), &text),
            None => piece.remove(value.as_ref()),
        })
    };
    if moved(original, live).as_ref() == live {
        return original.cloned();
    }
    // What was not there, and of which nothing is left, is not there.
    moved(live, original).filter(|value| original.is_some() || !is_empty(value))
}

fn is_empty(value: &Json) -> bool {
    value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn words(value: Option<&Json>) -> Vec<String> {
    let items = value.and_then(Json::as_array).into_iter().flatten();
    items.filter_map(Json::as_str).map(str::to_owned).collect()
}

/// The value of a flag among arguments.
fn flag_of<'a, S: AsRef<str>>(args: &'a [S], flag: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| is_flag(arg.as_ref(), flag))?;
    let joined = args.get(at)?.as_ref().split_once('=').map(|(_, value)| value);
    joined.or_else(|| args.get(at + 1).map(AsRef::as_ref))
}

/// Whether an argument is `--flag` or `--flag=value`.
fn is_flag(argument: &str, flag: &str) -> bool {
    argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// Replaces the value of `flag`, written `--flag=value` or `--flag value`, or appends it.
///
/// # Errors
/// How often the flag is there, if more than once: which one counts is the application's secret.
pub(super) fn set_flag(args: &mut Vec<String>, flag: &str, value: &str) -> Result<(), usize> {
    let joined = format!("{flag}=");
    let places: Vec<usize> = (0..args.len()).filter(|i| is_flag(&args[*i], flag)).collect();
    match places[..] {
        [] => args.push(format!("{joined}{value}")),
        [at] if args[at] == flag => match args.get_mut(at + 1) {
            Some(next) if !next.starts_with("--") => value.clone_into(next),
            _ => args[at] = format!("{joined}{value}"),
        },
        [at] => args[at] = format!("{joined}{value}"),
        _ => return Err(places.len()),
    }
    Ok(())
}

fn without_flag(mut args: Vec<String>, flag: &str) -> Vec<String> {
    if let Some(at) = args.iter().position(|arg| is_flag(arg, flag)) {
        let takes_next = args[at] == flag && args.get(at + 1).is_some_and(|next| !next.starts_with("--"));
        args.drain(at..=at + usize::from(takes_next));
    }
    args
}

/// Whether an entry of the list of kernel parameters is the one of that name, however the name is written.
pub(super) fn is_sysctl(entry: &Json, name: &str) -> bool {
    entry["name"].as_str().is_some_and(|written| sysctl::normal(written) == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &[&str], want: &[&str]) {
        let mut list: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        set_flag(&mut list, "--workers", "4").unwrap();
        assert_eq!(list, want);
    }

    #[test]
    fn a_flag_is_replaced_in_place_and_never_given_twice() {
        check(&["serve", "--workers=2", "-v"], &["serve", "--workers=4", "-v"]);
        check(&["serve", "--workers", "2", "-v"], &["serve", "--workers", "4", "-v"]);
        check(&["serve", "--workers"], &["serve", "--workers=4"]);
        check(&["serve", "--workers", "--verbose"], &["serve", "--workers=4", "--verbose"]);
        check(&[], &["--workers=4"]);
        check(&["--workers-max=9"], &["--workers-max=9", "--workers=4"]);
        let mut twice = vec!["--workers=1".to_owned(), "--workers=2".to_owned()];
        assert_eq!(set_flag(&mut twice, "--workers", "4"), Err(2));
    }

    fn sysctls(pairs: &[(&str, &str)]) -> Json {
        json!(pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>())
    }

    /// Two pieces of a kind, the field in which both and in which only the second is changed, and the original.
    type Row = ([Option<Piece>; 2], [Json; 2], Option<Json>);

    fn table() -> Vec<Row> {
        let option = |token: &str| Some(Piece::Option(options::known(token).unwrap()));
        let java = [option("-Xmx"), option("-XX:MaxGCPauseMillis")];
        let gunicorn = [option("--workers"), option("--timeout")];
        let flags = [Some(Piece::Flag("--a".into())), Some(Piece::Flag("--b".into()))];
        let kernel = [Some(Piece::Sysctl("net.a".into())), Some(Piece::Sysctl("net.b".into()))];
        let text = |text: &str| json!(text);
        vec![
            (
                java.clone(),
                [text("-Dx='a  b'\t-Xmx2g -XX:MaxGCPauseMillis=9"), text("-Dx='a  b'\t-Xmx1g -XX:MaxGCPauseMillis=9")],
                Some(text("-Dx='a  b'\t-Xmx1g ")),
            ),
            (java, [text("-Xmx2g -XX:MaxGCPauseMillis=9"), text("-XX:MaxGCPauseMillis=9")], None),
            (gunicorn, [text("-w 3 --timeout=9"), text("-w 2 --timeout=9")], Some(text("-w 2"))),
            (
                flags.clone(),
                [json!(["serve", "--a", "2", "--b=9"]), json!(["serve", "--a", "1", "--b=9"])],
                Some(json!(["serve", "--a", "1"])),
            ),
            (flags, [json!(["--a=2", "--b=9"]), json!(["--b=9"])], None),
            (
                kernel.clone(),
                [
                    sysctls(&[("net/a", "2"), ("net.c", "7"), ("net.b", "9")]),
                    sysctls(&[("net/a", "1"), ("net.c", "7"), ("net.b", "9")]),
                ],
                Some(sysctls(&[("net/a", "1"), ("net.c", "7")])),
            ),
            (kernel, [sysctls(&[("net.a", "2"), ("net.b", "9")]), sysctls(&[("net.b", "9")])], None),
        ]
    }

    #[test]
    fn one_piece_goes_back_alone_and_all_of_them_to_the_byte() {
        for ([first, second], [both, one], original) in table() {
            let back = restore(Some(&both), original.as_ref(), &[&first]);
            assert_eq!(back.as_ref(), Some(&one), "the first goes back and the second stays");
            assert_eq!(restore(Some(&both), original.as_ref(), &[&first, &second]), original);
            assert_eq!(restore(Some(&one), original.as_ref(), &[&second]), original);
            let again = first.as_ref().unwrap().read(Some(&both)).unwrap();
            let set = first.as_ref().unwrap().set(Some(&one), &again).unwrap();
            assert_eq!(first.as_ref().unwrap().read(Some(&set)), Some(again));
            assert_eq!(second.as_ref().unwrap().read(Some(&set)), second.as_ref().unwrap().read(Some(&both)));
        }
    }
}
