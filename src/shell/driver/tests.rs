use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use prometheus::Registry;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    core::{
        engine::Stream,
        facts::{Kind, ObjectKey},
    },
    shell::{telemetry::family, testing::eventually},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// An engine that answers the n-th leadership input with one `Get` per name, and keeps what it is told.
#[derive(Clone, Default)]
struct Scripted {
    names: &'static [&'static str],
    told: Arc<Mutex<Vec<Input>>>,
    last: u64,
}

impl Engine for Scripted {
    fn step(&mut self, input: Input, _: Instant) -> Vec<Effect> {
        let asks = matches!(input, Input::Leadership(true));
        self.told.lock().unwrap().push(input);
        let names: &[&str] = if asks { self.names } else { &[] };
        let gets = names.iter().map(|name| {
            self.last += 1;
            Effect { id: EffectId(self.last), action: Action::Get(ObjectKey::new(Kind::Deployment, "shop", *name)) }
        });
        gets.collect()
    }

    fn pages(&self) -> Vec<Page> {
        vec![Page::of(family::ROLLOUTS)]
    }
}

impl Scripted {
    /// Ends of effects in the order in which they were told.
    fn done(&self) -> Vec<(u64, String)> {
        let told = self.told.lock().unwrap();
        let done = told.iter().filter_map(|input| match input {
            Input::Done(id, outcome) => Some((id.0, format!("{outcome:?}"))),
            _ => None,
        });
        done.collect()
    }
}

struct Rig {
    engine: Scripted,
    inputs: mpsc::Sender<Input>,
    questions: Questions,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn start<F>(names: &'static [&'static str], execute: impl Fn(Action) -> F + Send + 'static) -> Rig
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let engine = Scripted { names, ..Scripted::default() };
    let metrics = Arc::new(Metrics::register(&Registry::new()).unwrap());
    let (inputs, waiting) = mpsc::channel(4);
    let sources = Arc::new(Sources::new(None, metrics.clone()));
    let health = Arc::new(Health::new([Stream::Policies]));
    let (driver, questions) = Driver::new(engine.clone(), execute, sources, waiting, metrics.clone(), health);
    let (stop, stops) = watch::channel(false);
    Rig { engine, inputs, questions, metrics, stop, task: tokio::spawn(driver.run(stops)) }
}

fn name(action: &Action) -> String {
    let Action::Get(key) = action else { panic!("only gets are asked for") };
    key.name.to_string()
}

#[tokio::test]
async fn the_engine_is_told_how_each_effect_ended_and_how_time_passes() {
    let rig =
        start(
            &["a", "b"],
            |action| async move { if name(&action) == "a" { Outcome::NotFound } else { Outcome::Accepted } },
        );
    rig.inputs.send(Input::Leadership(true)).await.unwrap();
    eventually("both end", || rig.engine.done().len() == 2).await;
    let mut done = rig.engine.done();
    done.sort();
    assert_eq!(done, [(1, "NotFound".to_owned()), (2, "Accepted".to_owned())]);
    let ticked = || rig.engine.told.lock().unwrap().iter().any(|input| matches!(input, Input::Tick));
    eventually("time passes", ticked).await;
    assert_eq!(rig.metrics.effects.with_label_values(&["get", "not-found"]).get(), 1);
    assert_eq!(rig.metrics.effects_waiting.with_label_values(&["get"]).get(), 0);
    assert_eq!(rig.questions.pages().await.len(), 1);
}

#[tokio::test]
async fn a_slow_effect_holds_up_neither_the_engine_nor_other_objects() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let rig = start(&["slow", "slow", "quick"], move |action| {
        let gate = gate.clone();
        async move {
            if name(&action) == "slow" {
                gate.acquire().await.unwrap().forget();
            }
            Outcome::Accepted
        }
    });
    rig.inputs.send(Input::Leadership(true)).await.unwrap();
    eventually("the quick one ends", || rig.engine.done().len() == 1).await;
    assert_eq!(rig.engine.done()[0].0, 3);
    assert_eq!(rig.metrics.effects_waiting.with_label_values(&["get"]).get(), 1, "the second one on the slow object");
    rig.inputs.send(Input::Leadership(false)).await.unwrap();
    eventually("the engine goes on", || {
        rig.engine.told.lock().unwrap().iter().any(|input| matches!(input, Input::Leadership(false)))
    })
    .await;
    opened.add_permits(2);
    eventually("the slow ones end", || rig.engine.done().len() == 3).await;
    assert_eq!(rig.engine.done().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 1, 2]);
}

#[tokio::test]
async fn an_effect_whose_task_dies_counts_as_unknown() {
    let rig = start(&["a", "a"], |action| async move {
        assert_ne!(name(&action), "a", "this one dies");
        Outcome::Accepted
    });
    rig.inputs.send(Input::Leadership(true)).await.unwrap();
    eventually("both are told", || rig.engine.done().len() == 2).await;
    assert!(rig.engine.done().iter().all(|(_, outcome)| outcome.contains("Unknown")), "{:?}", rig.engine.done());
    assert!(!rig.task.is_finished());
}

#[tokio::test]
async fn a_stop_lets_what_has_begun_end_and_begins_nothing_more() {
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let (counting, opened) = (counts.clone(), gate.clone());
    let rig = start(&["a", "a", "b"], move |_| {
        let (counts, gate) = (counting.clone(), gate.clone());
        async move {
            counts.0.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            counts.1.fetch_add(1, Ordering::SeqCst);
            Outcome::Accepted
        }
    });
    rig.inputs.send(Input::Leadership(true)).await.unwrap();
    eventually("two begin", || counts.0.load(Ordering::SeqCst) == 2).await;
    rig.stop.send_replace(true);
    opened.add_permits(3);
    timeout(PATIENCE, rig.task).await.expect("it stops").unwrap();
    assert_eq!((counts.0.load(Ordering::SeqCst), counts.1.load(Ordering::SeqCst)), (2, 2));
}
