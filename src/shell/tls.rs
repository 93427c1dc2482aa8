//! The TLS provider of the process.

/// Chooses `ring` for every TLS connection of the process. It comes first in `main` and in tests: a library that meets no
/// provider, or two, panics at its first connection.
pub fn install_provider() {
    // The only error is that a provider was chosen before, and the only one that this program links is `ring`.
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
}
