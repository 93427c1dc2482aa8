//! The catalogue of bad input: what may be wrong, the word for it, and the tests that hold us to the word, to zero writes and
//! to an operator that lives on.
//!
//! Its numbers are those of the cases in `tests/data/admission/`. Numbers are missing where a field does not exist yet.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;
use trimtab::api::conditions::Reason::{self, *};

/// One kind of bad input.
struct Row {
    number: u8,
    input: &'static str,
    /// What is said. Nothing: the API server refuses it by the definition, with our message, and a case of that number in
    /// `tests/data/admission/` or a test says with which.
    words: &'static [Reason],
    /// Files and the tests in them.
    tests: &'static [(&'static str, &'static str)],
}

const fn row(
    number: u8,
    input: &'static str,
    words: &'static [Reason],
    tests: &'static [(&'static str, &'static str)],
) -> Row {
    Row { number, input, words, tests }
}

const ADMISSION: &str = "tests/admission.rs";
const CATALOGUE: &str = "src/core/catalogue.rs";
const DELETION: &str = "tests/operator/deletion.rs";
const DOCUMENT: &str = "src/core/document/tests.rs";
const KERNEL: &str = "tests/operator/kernel.rs";
const LINES: &str = "src/core/document/lines/tests.rs";
const METRICS: &str = "tests/real_metrics.rs";
const PROMETHEUS: &str = "src/shell/prometheus/tests.rs";
const REFUSALS: &str = "tests/operator/refusals.rs";
const SYSCTLS: &str = "src/core/catalogue/sysctl.rs";
const TOML: &str = "src/core/document/tests/toml.rs";

const CASES: &str = "policies_are_accepted_or_refused_with_our_message";
const LIES: &str = "a_prometheus_that_lies_or_is_away_is_named_and_nothing_acts_on_it";
const QUERIES: &str = "queries_that_a_real_prometheus_refuses_have_their_reasons";
const REFUSED: &str = "every_refusal_has_its_word_and_writes_nothing";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(1, "min above max", &[], &[(ADMISSION, CASES)]),
    row(2, "a step of a knob, which no knob has yet", &[],
        &[(REFUSALS, "a_field_that_does_not_exist_is_refused_and_where_it_is_dropped_nothing_is_written")]),
    row(3, "a negative duration", &[], &[(ADMISSION, CASES)]),
    row(4, "a duration such as 5mm", &[], &[(ADMISSION, CASES)]),
    row(5, "a duration that overflows", &[], &[(ADMISSION, CASES)]),
    row(6, "a pool of 0", &[], &[(ADMISSION, CASES)]),
    row(7, "limits below requests in one policy", &[], &[(ADMISSION, CASES)]),
    row(8, "a request above the target's own limit", &[BoundsConflictWithTarget], &[(REFUSALS, REFUSED)]),
    row(9, "quantities 1GB, 1e99, -1", &[], &[(ADMISSION, CASES)]),
    row(10, "150 %, NaN, ten", &[], &[(ADMISSION, CASES)]),
    row(11, "a threshold that is released where it triggers", &[], &[(ADMISSION, CASES)]),
    row(13, "an empty selector", &[], &[(ADMISSION, CASES)]),
    row(14, "a target that is not there, or of a kind that is not there", &[NoTargets, KindNotServed],
        &[(REFUSALS, REFUSED),
          ("tests/operator/objects.rs", "a_kind_that_is_installed_later_is_governed_without_a_restart")]),
    row(15, "a selector of too many workloads", &[TooManyTargets], &[(REFUSALS, REFUSED)]),
    row(16, "two policies on one knob", &[KnobOwnedBy],
        &[("tests/operator/together.rs", "of_two_policies_on_one_knob_the_older_wins_and_the_other_says_so")]),
    row(17, "replicas that an autoscaler owns", &[ManagedByAutoscaler],
        &[("tests/operator/replicas.rs", "an_autoscaler_of_keda_and_the_pods_of_a_daemon_set_are_refused")]),
    row(18, "a field that a manifest owns", &[FieldManagerConflict],
        &[("tests/operator/owners.rs", "what_a_manifest_sets_is_left_to_it_and_the_policy_names_both_ways_out"),
          ("tests/operator/tools.rs", "resources_that_a_manifest_sets_are_its_owners_whatever_the_tool")]),
    row(19, "a workload of kube-system", &[TargetProtected],
        &[(REFUSALS, "system_namespaces_and_the_operator_itself_are_protected")]),
    row(20, "the operator itself", &[TargetProtected],
        &[(REFUSALS, "system_namespaces_and_the_operator_itself_are_protected")]),
    row(21, "environment names 1X, A=B and none", &[], &[(ADMISSION, CASES)]),
    row(22, "environment names LD_PRELOAD, PATH, HTTPS_PROXY", &[EnvironmentNameForbidden],
        &[(ADMISSION, CASES), (REFUSALS, REFUSED),
          (CATALOGUE, "names_that_load_code_move_credentials_or_redirect_traffic_are_forbidden"),
          ("src/core/policy/runtime/tests.rs", "an_option_is_of_the_catalogue_and_of_its_type"),
          ("src/core/options/tests.rs", "every_token_is_there_once_and_none_loads_code")]),
    row(23, "a variable with valueFrom", &[EnvFromSource], &[(REFUSALS, REFUSED)]),
    row(24, "a container that is not there", &[ContainerNotFound], &[(REFUSALS, REFUSED)]),
    row(25, "a ConfigMap that is not there", &[ConfigMapNotFound], &[(REFUSALS, REFUSED)]),
    row(26, "an immutable ConfigMap", &[ConfigMapImmutable], &[(REFUSALS, REFUSED)]),
    row(27, "a path that is not in the document", &[KeyPathNotFound],
        &[(REFUSALS, REFUSED), (LINES, "a_line_is_made_only_where_it_is_one_key_and_no_more")]),
    row(28, "a path to a map, a list or another type", &[KeyTypeMismatch], &[(REFUSALS, REFUSED)]),
    row(29, "a document that cannot be parsed, with anchors, keys that come twice, a byte order mark, CRLF",
        &[ConfigUnparseable],
        &[(REFUSALS, REFUSED), (DOCUMENT, "what_cannot_be_edited_safely_is_refused_with_its_line"),
          (TOML, "what_cannot_be_edited_is_refused_with_its_line"),
          (LINES, "conf_refuses_what_readers_read_differently"), (LINES, "ini_refuses_what_readers_read_differently"),
          (LINES, "properties_refuse_what_cannot_be_edited"),
          (DOCUMENT, "line_ends_stay_as_they_are"),
          ("tests/operator/documents.rs", "a_document_keeps_its_line_ends_and_its_end")]),
    row(30, "a document above a mebibyte", &[ConfigTooLarge],
        &[(REFUSALS, REFUSED), (DOCUMENT, "documents_are_bounded"),
          (DOCUMENT, "documents_of_every_format_are_bounded"), (TOML, "depth_is_bounded_however_it_is_written")]),
    row(31, "a ConfigMap that another edits between our look and our write", &[],
        &[("tests/ownership/documents.rs", "edits_that_are_refused_and_edits_that_are_none"),
          ("tests/simulation.rs", "seeds")]),
    row(32, "an application that never reads the value that changed", &[NotApplied],
        &[("tests/real_metrics/readbacks.rs", "an_application_that_ignores_its_variable_and_one_old_pod_of_five_are_named")]),
    row(33, "a query with an error of syntax", &[QueryInvalid], &[(METRICS, QUERIES)]),
    row(34, "a backend that refuses to execute, is away, silent, throttles or refuses the credential",
        &[QueryFailed, BackendUnavailable, BackendThrottled, BackendUnauthorized],
        &[(METRICS, LIES), (METRICS, QUERIES), (PROMETHEUS, "each_error_of_a_backend_has_its_reason")]),
    row(35, "a page of HTML, half an answer, an answer without end", &[BadResponse],
        &[(METRICS, LIES), (PROMETHEUS, "pages_truncations_and_redirects_are_bad_responses"),
          (PROMETHEUS, "an_answer_without_end_is_cut_off")]),
    row(36, "no series", &[NoData], &[(METRICS, LIES), (METRICS, QUERIES)]),
    row(37, "more than one series", &[AmbiguousResult], &[(METRICS, QUERIES)]),
    row(38, "NaN and infinity", &[NotANumber],
        &[(METRICS, LIES), (METRICS, QUERIES), (PROMETHEUS, "numbers_that_json_does_not_have_are_read")]),
    row(39, "samples that are too old, and answers of another time", &[StaleData, ClockSkew],
        &[(METRICS, LIES), (METRICS, "samples_that_are_too_old_are_no_reading")]),
    row(40, "a scalar or a text, and answers with warnings", &[WrongType, PartialResult],
        &[(METRICS, LIES), (METRICS, QUERIES), (PROMETHEUS, "answers_of_another_shape_are_refused")]),
    row(41, "a query that costs too much", &[QueryTooExpensive],
        &[(PROMETHEUS, "each_error_of_a_backend_has_its_reason")]),
    row(42, "ten thousand items", &[], &[(ADMISSION, "lists_beyond_their_bounds_are_refused")]),
    row(43, "objects of a mebibyte, and bodies of three", &[],
        &[(ADMISSION, "objects_beyond_what_the_api_server_takes_are_refused_before_anybody_reads_them"),
          (ADMISSION, "the_largest_policy_is_accepted_and_within_the_budget_of_rules"),
          (REFUSALS, "workloads_of_a_mebibyte_are_governed_like_any_other")]),
    row(44, "names and texts with control characters, of another direction, or too long", &[], &[(ADMISSION, CASES)]),
    row(45, "a field that does not exist", &[],
        &[(REFUSALS, "a_field_that_does_not_exist_is_refused_and_where_it_is_dropped_nothing_is_written"),
          ("tests/cli.rs", "golden_errors_say_what_to_do")]),
    row(46, "a key twice in a list", &[], &[(ADMISSION, CASES)]),
    row(47, "a policy that is deleted while its finalizer is pending, and targets and namespaces that go", &[],
        &[(DELETION, "a_policy_that_is_deleted_again_while_it_restores_restores_once"),
          (DELETION, "a_policy_that_restores_ends_although_its_target_is_gone"),
          (DELETION, "a_namespace_goes_with_policies_that_restore")]),
    row(50, "a policy that another version has stored", &[UnsupportedVersion],
        &[(REFUSALS, "a_stored_policy_that_cannot_be_read_says_so_and_keeps_what_it_holds")]),
    row(51, "a stored policy that stricter rules refuse", &[],
        &[(ADMISSION, "stricter_rules_do_not_lock_out_what_is_stored")]),
    row(52, "a target that is paused, or waits for a person", &[TargetPaused, AwaitingManualRollout],
        &[(REFUSALS, "a_paused_deployment_waits_for_the_person_who_paused_it"),
          ("tests/operator/replicas.rs", "a_rollout_that_waits_for_a_person_is_not_called_done")]),
    row(53, "a workload whose PodDisruptionBudget allows no pod to be away while it is replaced", &[DisruptionNotAllowed],
        &[("tests/operator/disruption.rs",
           "a_rollout_that_would_take_the_only_pod_away_waits_until_its_budget_goes_or_the_new_pod_comes_first"),
          ("tests/simulation/disruptions.rs", "what_takes_pods_away_waits_for_the_budget_and_holds_up_nobody")]),
    row(54, "a request that no node has, or that a quota refuses", &[RolledBack, Unschedulable, FailedCreate],
        &[("tests/operator/rollback.rs", "what_no_node_has_is_awaited_for_a_while_and_goes_back"),
          ("tests/operator/rollback.rs", "what_a_quota_refuses_goes_back_while_the_old_pod_serves"),
          ("tests/simulation/rollbacks.rs", "what_gets_its_node_or_its_quota_within_the_patience_is_not_taken_back")]),
    row(55, "a value that crashes", &[RolledBack],
        &[("tests/operator/rollback.rs",
           "a_value_that_crashes_is_taken_back_while_the_old_pod_serves_and_is_not_tried_again")]),
    row(56, "a person who edits a knob", &[ManualOverride],
        &[("tests/operator/owners.rs", "a_person_who_sets_the_variable_is_heard_until_resume")]),
    row(57, "an Alertmanager that is away, or refuses", &[],
        &[("src/shell/alertmanager/tests.rs", "a_dead_alertmanager_costs_nothing_but_the_oldest_batches"),
          ("src/shell/alertmanager/tests.rs", "a_failed_batch_is_sent_again_and_a_refused_one_is_not")]),
    row(61, "kernel parameters that are none, that the kernel would not read, that nobody allows, or of the host",
        &[ClassForbids, Unsupported, RolledBack],
        &[(ADMISSION, CASES), (SYSCTLS, "values_have_the_shape_that_the_kernel_reads"),
          (KERNEL, "an_unsafe_sysctl_needs_a_class_and_a_node_that_allow_it"),
          (KERNEL, "an_unsafe_sysctl_that_no_node_allows_goes_back_while_the_old_pod_serves"),
          (KERNEL, "pods_that_share_the_network_of_the_node_have_no_sysctls_of_it"),
          (KERNEL, "what_nothing_carries_is_told_with_its_reason_and_never_written")]),
    row(62, "connection strings and secrets as values", &[],
        &[(ADMISSION, CASES), (CATALOGUE, "connection_strings_and_secrets_are_told_from_words")]),
    row(63, "options with which a JVM would not start, or that would have no effect", &[BoundsConflictWithTarget, NoEffect],
        &[("tests/operator/runtime.rs", "values_that_do_not_fit_or_would_have_no_effect_are_refused_and_write_nothing"),
          ("src/core/plan/tests.rs", "what_keeps_a_jvm_from_its_start_is_refused_wherever_it_stands")]),
    row(70, "a rollback in annotations that name no revision, pin what the policy cannot have, or are another policy's",
        &[RollbackRefused, RollbackIgnored],
        &[("src/core/policy/pin/tests.rs", "what_cannot_be_read_is_refused_with_the_way_out"),
          ("tests/simulation/rollbacks.rs", "nonsense_in_the_annotation_is_told_and_nothing_is_written"),
          ("tests/simulation/rollbacks.rs", "it_is_of_the_policy_that_it_was_asked_of_and_of_no_other_of_that_name"),
          ("tests/operator/commands.rs", "golden_a_rollback_pins_until_it_is_ended_or_the_policy_changes")]),
];

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading \"{file}\": {error}"))
}

/// Whether the file has a test of that name which is not left out.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let found = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    });
    let attributes = |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).copied();
    found.is_some_and(|at| {
        attributes(at).any(|attribute| attribute == "#[test]" || attribute.starts_with("#[tokio::test"))
            && attributes(at).all(|attribute| !attribute.starts_with("#[ignore"))
    })
}

#[test]
fn every_row_has_tests_that_know_its_words() {
    let mut wrong = Vec::new();
    for Row { number, input, words, tests } in ROWS {
        let texts: Vec<String> = tests.iter().map(|(file, _)| text(file)).collect();
        for ((file, name), text) in tests.iter().zip(&texts) {
            if !has_test(text, name) {
                wrong.push(format!("row {number} ({input}): there is no test \"{name}\" in {file}"));
            }
        }
        for word in *words {
            if !texts.iter().any(|text| text.contains(word.as_str())) {
                wrong.push(format!("row {number} ({input}): its tests do not know {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rows_are_in_order_and_each_has_a_test() {
    assert!(ROWS.is_sorted_by(|a, b| a.number < b.number), "a number is missing its place, or comes twice");
    let without: Vec<u8> = ROWS.iter().filter(|row| row.tests.is_empty()).map(|row| row.number).collect();
    assert!(without.is_empty(), "rows without a test: {without:?}");
}

#[test]
fn what_admission_refuses_has_a_case_and_every_case_has_a_row() {
    #[derive(Deserialize)]
    struct Case {
        row: Option<u8>,
    }
    let mut cases = BTreeSet::new();
    for file in ["policies", "budgets", "classes", "sources"] {
        let found: Vec<Case> = serde_saphyr::from_str(&text(&format!("tests/data/admission/{file}.yaml"))).unwrap();
        cases.extend(found.into_iter().filter_map(|case| case.row));
    }
    let rows = ROWS.iter().filter(|row| row.tests.contains(&(ADMISSION, CASES))).map(|row| row.number);
    assert_eq!(rows.collect::<BTreeSet<_>>(), cases, "left: rows that name the cases, right: rows that have one");
}
