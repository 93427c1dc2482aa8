use super::claim::*;
use crate::core::{
    engine::effect::{Matcher, NewSilence, Silence},
    facts::{Instant, Kind, ObjectKey, Span},
    plan::Change,
};

const NOW: Instant = Instant::from_millis(1_763_700_000_000);

fn about() -> About {
    About::new(&("shop".into(), "web".into()), "uid-1", &ObjectKey::new(Kind::Deployment, "shop", "web"))
}

fn claim(revision: i64) -> Claim {
    let change = |n: usize| Change {
        object: ObjectKey::new(Kind::Deployment, "shop", "web"),
        path: format!("settings.s{n}").into(),
        from: None,
        to: Some("x".repeat(300)),
        because: "spec".into(),
    };
    let changes: Vec<Change> = (0..7).map(change).collect();
    Claim::new(&about(), revision, &["p95".into(), "p50".into(), "p95".into()], &changes)
}

/// As an Alertmanager holds it.
fn held(id: &str, silence: &NewSilence) -> Silence {
    Silence {
        id: id.to_owned(),
        matchers: silence.matchers.clone(),
        starts_at: silence.starts_at,
        ends_at: silence.ends_at,
        expired: false,
        created_by: silence.created_by.to_owned(),
        comment: silence.comment.clone(),
    }
}

fn made(revision: i64) -> NewSilence {
    match about().decide(&[], Some((&claim(revision), None)), (true, false), NOW) {
        Decision::Set { silence, id: None, .. } => silence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_silence_names_what_it_is_for_and_stays_short() {
    let silence = made(7);
    let threshold = Matcher { is_regex: true, ..Matcher::equal("threshold", "p50|p95") };
    assert_eq!(silence.matchers.last(), Some(&threshold));
    assert!(
        silence
            .comment
            .starts_with("Policy shop/web (uid-1) rolls out revision 7 to Deployment/web: settings.s0 (unset) → xxx")
    );
    assert!(silence.comment.contains(", and 2 more. Trimtab renews this"), "{}", silence.comment);
    assert!(silence.comment.len() < 1000, "{}", silence.comment.len());
    assert_eq!(silence.ends_at, NOW + LEASE);
}

#[test]
fn what_is_there_is_renewed_with_its_own_start_and_the_same_by_everybody() {
    let (silence, later) = (made(7), NOW + Span::seconds(30));
    let found = [held("b", &silence), held("a", &silence), held("c", &made(6))];
    let Decision::Set { id, silence: renewed, .. } =
        about().decide(&found, Some((&claim(7), None)), (true, false), later)
    else {
        panic!("renewed")
    };
    assert_eq!((id.as_deref(), renewed.starts_at, renewed.ends_at), (Some("a"), silence.starts_at, later + LEASE));
    // One that has lapsed is made anew by whoever has begun it, and by nobody else.
    let lapsed = [Silence { expired: true, ..held("a", &silence) }];
    let decide = |known, may_begin| about().decide(&lapsed, known, (may_begin, false), NOW + Span::minutes(3));
    let claim = claim(7);
    assert!(matches!(decide(Some((&claim, Some("a"))), true), Decision::Set { id: None, .. }));
    assert_eq!(decide(None, false), Decision::Leave);
}

#[test]
fn a_new_leader_takes_over_what_is_intact_and_nothing_else() {
    let silence = made(7);
    let decide = |found: Silence| about().decide(&[found], None, (false, false), NOW);
    let Decision::Set { id, claim, .. } = decide(held("a", &silence)) else { panic!("taken over") };
    assert_eq!((id.as_deref(), claim), (Some("a"), self::claim(7)));
    let edits: [fn(&mut Silence); 5] = [
        |silence| silence.created_by = "alice".to_owned(),
        |silence| silence.ends_at = silence.ends_at + Span::hours(1),
        |silence| silence.comment.push('!'),
        |silence| silence.matchers.truncate(6),
        |silence| silence.comment = silence.comment.replace("uid-1", "uid-0"),
    ];
    for edit in edits {
        let mut found = held("a", &silence);
        edit(&mut found);
        assert_eq!(decide(found.clone()), Decision::Leave, "{found:?}");
    }
}

#[test]
fn what_a_person_ended_is_not_made_again_even_by_a_renewal_that_was_on_its_way() {
    let silence = made(7);
    let ended = Silence { expired: true, ends_at: NOW + Span::seconds(20), ..held("a", &silence) };
    let claim = claim(7);
    let known = Some((&claim, Some("a")));
    assert_eq!(about().decide(std::slice::from_ref(&ended), known, (true, false), NOW), Decision::Leave);
    let found = [ended, held("b", &silence)];
    assert_eq!(about().decide(&found, known, (true, false), NOW), Decision::Expire("b".to_owned()));
    // At the end, whatever of ours is in force is ended, and no other.
    assert_eq!(about().decide(&found, known, (true, true), NOW), Decision::Expire("b".to_owned()));
    assert_eq!(about().decide(&found[..1], known, (true, true), NOW), Decision::Leave);
    let edited = Silence { created_by: "alice".to_owned(), ..held("a", &silence) };
    assert_eq!(about().decide(&[edited], known, (true, true), NOW), Decision::Leave);
}
