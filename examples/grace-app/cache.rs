//! A cache whose entries live for a given time from the moment they were written.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus::IntCounter;
use tokio::time::Instant;

/// An in-process cache. A changed time to live counts for entries written from then on, as in
/// every cache that stores an expiry with its entry: what is already there keeps its own.
pub(crate) struct TtlCache<V> {
    state: Mutex<State<V>>,
    capacity: usize,
    hits: IntCounter,
    misses: IntCounter,
}

struct State<V> {
    ttl: Duration,
    entries: HashMap<String, Entry<V>>,
}

struct Entry<V> {
    value: V,
    expires: Instant,
}

impl<V: Clone> TtlCache<V> {
    /// A cache of at most `capacity` entries. A `ttl` of zero remembers nothing.
    pub(crate) fn new(ttl: Duration, capacity: usize, hits: IntCounter, misses: IntCounter) -> Self {
        let state = Mutex::new(State { ttl, entries: HashMap::new() });
        Self { state, capacity, hits, misses }
    }

    pub(crate) fn set_ttl(&self, ttl: Duration) {
        self.lock().ttl = ttl;
    }

    /// The value under `key`, unless it has expired. Counts as a hit or as a miss.
    pub(crate) fn get(&self, key: &str) -> Option<V> {
        let now = Instant::now();
        let found = self.lock().entries.get(key).filter(|entry| now < entry.expires).map(|entry| entry.value.clone());
        match found {
            Some(_) => self.hits.inc(),
            None => self.misses.inc(),
        }
        found
    }

    pub(crate) fn insert(&self, key: String, value: V) {
        let now = Instant::now();
        let mut state = self.lock();
        if state.ttl.is_zero() {
            return;
        }
        if state.entries.len() >= self.capacity && !state.entries.contains_key(&key) {
            state.make_room(now, self.capacity);
        }
        let expires = now + state.ttl;
        state.entries.insert(key, Entry { value, expires });
    }

    /// Entries held, expired ones that nobody has cleared yet included.
    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<V>> {
        // No code that can panic runs under this lock, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> State<V> {
    /// Drops what has expired and, if that was not enough, the entry that would expire first.
    fn make_room(&mut self, now: Instant, capacity: usize) {
        self.entries.retain(|_, entry| now < entry.expires);
        if self.entries.len() < capacity {
            return;
        }
        let first = self.entries.iter().min_by_key(|(_, entry)| entry.expires).map(|(key, _)| key.clone());
        if let Some(key) = first {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn cache(ttl: Duration, capacity: usize) -> TtlCache<u32> {
        let counter = |name: &str| IntCounter::new(name, "a counter of this test").unwrap();
        TtlCache::new(ttl, capacity, counter("hits"), counter("misses"))
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_lives_exactly_as_long_as_its_ttl() {
        let cache = cache(MINUTE, 10);
        cache.insert("a".to_owned(), 1);
        advance(MINUTE.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(cache.get("a"), Some(1));
        advance(Duration::from_millis(1)).await;
        assert_eq!(cache.get("a"), None);
        assert_eq!((cache.hits.get(), cache.misses.get()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_ttl_counts_for_entries_written_afterwards() {
        let cache = cache(MINUTE, 10);
        cache.insert("old".to_owned(), 1);
        cache.set_ttl(MINUTE * 10);
        cache.insert("new".to_owned(), 2);
        advance(MINUTE * 5).await;
        assert_eq!(cache.get("old"), None);
        assert_eq!(cache.get("new"), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ttl_of_zero_remembers_nothing() {
        let cache = cache(Duration::ZERO, 10);
        cache.insert("a".to_owned(), 1);
        assert_eq!(cache.get("a"), None);
        assert_eq!(cache.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_drops_what_expires_first() {
        let cache = cache(MINUTE, 2);
        cache.insert("first".to_owned(), 1);
        advance(Duration::from_secs(1)).await;
        cache.insert("second".to_owned(), 2);
        cache.insert("third".to_owned(), 3);
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.get("first"), None);
        assert_eq!(cache.get("third"), Some(3));
        advance(MINUTE).await;
        cache.insert("fourth".to_owned(), 4);
        assert_eq!(cache.len(), 1, "expired entries go first");
    }
}
