//! Others who write what we claim, and fields that we took over.

use serde_json::{Value, json};
use trimtab::core::ownership::holders;

use super::world::{POLICY, World, causes, env, live, manifest, manifest_with, owns, variables, with_cluster};
use crate::here;

type Act = fn(&World<'_>) -> Result<String, String>;

fn apply(world: &World<'_>, arguments: &[&str], manifest: &Value) -> Result<String, String> {
    world.run("kubectl", &[arguments, &["-f", "-"]].concat(), &manifest.to_string())
}

/// What somebody does to a Deployment whose owner set A=1 and on which we claim B=2.
struct Row {
    what: &'static str,
    act: Act,
    /// The variables after it.
    live: &'static [&'static str],
    /// Who holds B then.
    held: &'static [&'static str],
    /// What our next apply of B=2 gives: the variables, or who is in conflict.
    next: Result<&'static [&'static str], &'static str>,
}

const ROWS: [Row; 8] = [
    Row {
        what: "kubectl set env",
        act: |w| w.run("kubectl", &["set", "env", "deployment/api", "B=9"], ""),
        live: &["A=1", "B=9"],
        held: &["kubectl-set"],
        next: Err("kubectl-set"),
    },
    Row {
        what: "kubectl set env, removed",
        act: |w| w.run("kubectl", &["set", "env", "deployment/api", "B-"], ""),
        live: &["A=1"],
        held: &[],
        next: Ok(&["A=1", "B=2"]),
    },
    Row {
        what: "client-side apply of a manifest with the variable",
        act: |w| apply(w, &["apply"], &manifest_with(&[("A", "1"), ("B", "9")])),
        live: &["A=1", "B=9"],
        held: &["kubectl-client-side-apply"],
        next: Err("kubectl-client-side-apply"),
    },
    Row {
        what: "client-side apply of a manifest without the variable",
        act: |w| apply(w, &["apply"], &manifest_with(&[("A", "2")])),
        live: &["A=2", "B=2"],
        held: &["trimtab/p"],
        next: Ok(&["A=2", "B=2"]),
    },
    // The list that the manifest had and has no more is removed as a whole, with what others put into it.
    Row {
        what: "client-side apply of a manifest that drops its last variable",
        act: |w| apply(w, &["apply"], &manifest(&json!({}))),
        live: &[],
        held: &[],
        next: Ok(&["B=2"]),
    },
    Row {
        what: "kubectl replace",
        act: |w| apply(w, &["replace"], &manifest_with(&[("A", "1")])),
        live: &["A=1"],
        held: &[],
        next: Ok(&["A=1", "B=2"]),
    },
    Row {
        what: "server-side apply with force, as Flux does",
        act: |w| {
            let flux = ["apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller"];
            apply(w, &flux, &manifest_with(&[("A", "1"), ("B", "9")]))
        },
        live: &["A=1", "B=9"],
        held: &["kustomize-controller"],
        next: Err("kustomize-controller"),
    },
    Row {
        what: "server-side apply with force, without the variable",
        act: |w| {
            let flux = ["apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller"];
            apply(w, &flux, &manifest_with(&[("A", "2")]))
        },
        live: &["A=2", "B=2"],
        held: &["trimtab/p"],
        next: Ok(&["A=2", "B=2"]),
    },
];

#[test]
fn what_others_do_to_a_claimed_field() {
    with_cluster(here!(), async |cluster| {
        for Row { what, act, live: wanted, held, next } in ROWS {
            let world = World::new(&cluster).await;
            world.client_side(&manifest_with(&[("A", "1")]));
            world.settled().await;
            world.claim(&variables(&[("B", "2")])).await.unwrap();
            world.settled().await;
            act(&world).unwrap();
            let after = world.settled().await;
            assert_eq!(live(&after), wanted, "{what}");
            let holders: Vec<_> = holders(&after.meta, &env("B")).into_iter().map(|holder| holder.manager).collect();
            assert_eq!(holders, held, "{what}");
            assert_eq!(owns(&after, "B"), held == [POLICY], "{what}");
            match (world.claim(&variables(&[("B", "2")])).await, next) {
                (Ok(made), Ok(wanted)) => assert_eq!(live(&made), wanted, "{what}"),
                (Err(status), Err(manager)) => {
                    let message = format!("conflict with \"{manager}\"");
                    assert!(causes(&status).iter().any(|(_, cause)| cause.starts_with(&message)), "{what}: {status:?}");
                }
                (answer, _) => panic!("{what}: {answer:?}"),
            }
        }
    });
}

#[test]
fn what_the_owner_of_a_field_can_do_after_we_took_it_over() {
    let theirs = manifest_with(&[("A", "1"), ("B", "1")]);
    let without = manifest_with(&[("A", "1")]);
    let ours = variables(&[("B", "2")]);
    with_cluster(here!(), async |cluster| {
        for server_side in [false, true] {
            let world = World::new(&cluster).await;
            world.apply_as_owner(server_side, &theirs).unwrap();
            world.settled().await;
            let taken = world.take(&ours).await;
            let held: Vec<_> = holders(&taken.meta, &env("B")).into_iter().map(|holder| holder.manager).collect();
            assert_eq!(held, ["trimtab/p"], "the owner keeps the item and loses its value");
            world.settled().await;
            let again = world.apply_as_owner(server_side, &theirs);
            let after = world.settled().await;
            if server_side {
                assert!(again.unwrap_err().contains(&format!("conflict with \"trimtab/p\": {}", env("B"))));
                assert_eq!(live(&after), ["A=1", "B=2"]);
            } else {
                assert_eq!(live(&after), ["A=1", "B=1"], "a client-side apply knows no conflicts");
            }
            world.take(&ours).await;
            world.settled().await;
            // The way out that our message names. A client-side apply removes the variable that its manifest had before,
            // whoever owns its value; a server-side one gives up its share only.
            world.apply_as_owner(server_side, &without).unwrap();
            let after = world.settled().await;
            assert_eq!(live(&after), if server_side { vec!["A=1", "B=2"] } else { vec!["A=1"] });
            let made = world.claim(&ours).await.unwrap();
            assert_eq!(live(&made), ["A=1", "B=2"]);
            world.settled().await;
            world.apply_as_owner(server_side, &without).unwrap();
            assert_eq!(live(&world.settled().await), ["A=1", "B=2"], "and then there is peace");
        }
    });
}
