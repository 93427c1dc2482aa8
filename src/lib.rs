//! Trimtab.
