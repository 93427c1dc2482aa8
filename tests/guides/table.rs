//! The table of all rows, in `docs/guides.md`: made from [`ROWS`] for what is written, and from lists for what is checked,
//! reported and asked for. A row without a test fails here.

use std::{collections::BTreeSet, fs};

use crate::{cluster::repository, golden::assert_golden, rows::{ROWS, Seen}};

/// Something of a row that is checked, reported or asked for.
struct Other {
    id: &'static str,
    text: &'static str,
    /// File of the repository that carries it.
    file: &'static str,
    /// Field or command.
    field: &'static str,
    /// File of the test, and its name.
    test: (&'static str, &'static str),
}

const OTHERS: &[Other] = &[];

/// Rows of the guides, in their order.
const IDS: &[(&str, std::ops::RangeInclusive<u8>)] = &[("AB", 1..=11), ("GR", 1..=13), ("VR", 1..=19), ("GC", 1..=12), ("AL", 1..=16)];
