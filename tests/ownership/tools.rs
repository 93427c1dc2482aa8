//! Helm beside us.

use std::{fs, path::Path};

use trimtab::core::{
    facts::Operation,
    ownership::{holders, release},
};

use super::world::{BASELINE, POLICY, causes, env, live, managers, manifest_with, variables, with_world};
use crate::here;

fn chart(folder: &Path, value: &str) {
    fs::create_dir_all(folder.join("templates")).unwrap();
    fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: web\nversion: 0.1.0\n").unwrap();
    fs::write(folder.join("templates/api.yaml"), manifest_with(&[("A", value)]).to_string()).unwrap();
}

#[test]
fn helm_upgrades_beside_a_claim_and_after_a_release_and_not_over_a_takeover() {
    with_world(here!(), async |world| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let helm = |arguments: &[&str]| world.run("helm", arguments, "");
        let upgrade = |value: &str, more: &[&str]| {
            chart(folder.path(), value);
            helm(&[&["upgrade", "web", path], more].concat())
        };
        chart(folder.path(), "1");
        helm(&["install", "web", path]).unwrap();
        let installed = world.settled().await;
        let entry = installed.meta.managed.iter().find(|entry| entry.manager == "helm").unwrap();
        assert_eq!(entry.operation, Operation::Apply, "Helm 4 applies server-side");

        world.claim(&variables(&[("B", "2")])).await.unwrap();
        upgrade("2", &[]).unwrap();
        assert_eq!(live(&world.settled().await), ["A=2", "B=2"]);

        let both = variables(&[("A", "5"), ("B", "2")]);
        let refused = world.claim(&both).await.unwrap_err();
        assert_eq!(causes(&refused)[0].1, "conflict with \"helm\"");
        let taken = world.take(&both).await;
        let owners: Vec<_> = holders(&taken.meta, &env("A")).into_iter().map(|holder| holder.manager).collect();
        assert_eq!(owners, [POLICY]);
        // Even the unchanged chart fails now: an apply states its values again.
        for value in ["2", "3"] {
            world.settled().await;
            let failed = upgrade(value, &[]).unwrap_err();
            assert!(failed.contains("conflict with \"trimtab/p\""), "{failed}");
            assert_eq!(live(&world.settled().await), ["A=5", "B=2"]);
        }
        upgrade("3", &["--force-conflicts"]).unwrap();
        assert_eq!(live(&world.settled().await), ["A=3", "B=2"]);

        world.take(&both).await;
        world.settled().await;
        world.change(|seen| release(seen, POLICY, &[BASELINE.0], &[])).await.unwrap();
        upgrade("4", &[]).unwrap();
        let after = world.settled().await;
        assert_eq!(live(&after), ["A=4", "B=2"]);
        assert!(!managers(&after).contains(&POLICY));
        helm(&["rollback", "web", "1"]).unwrap();
        assert_eq!(live(&world.settled().await), ["A=1", "B=2"]);
    });
}
