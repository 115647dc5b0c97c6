//! TLS to OVN's databases: an authority, and the certificates that it issues for the servers and for each kind of client.
//!
//! [`plan`] decides what is made anew, [`authority`] makes it, [`secrets`] keeps it in Secrets, [`files`] on the disk, where
//! OVN's programs read it. A Secret `kube-ovn-tls` that is the user's own is used for all of that, and nothing is made.

pub mod authority;
pub mod files;
pub mod keep;
pub mod plan;
pub mod secrets;
#[cfg(test)]
mod tests;

/// Keys and certificates in PEM, under the names that Kube-OVN gives them in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Certificates of the authorities of which a peer's must be.
    pub cacert: String,
    /// A certificate, followed by intermediate ones if there are.
    pub cert: String,
    /// Its private key.
    pub key: String,
}
