//! Which implementation of encryption the libraries of servers use.

/// Chooses one for the process, unless somebody has: the clients of PostgreSQL and KurrentDB are built with different ones, and
/// where there are two and no choice, they panic.
pub(crate) fn choose() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else has chosen meanwhile.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}
