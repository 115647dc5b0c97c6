//! What of the certificates is made anew, and when.
//!
//! An authority is replaced with an overlap: the new one's certificate stands beside the old one's in every Secret before it
//! issues anything, and the old one's stays there until it expires. So whoever has read the Secrets within the overlap is
//! never cut off, copies outside of the cluster included.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::Files;
use super::authority::{self, Authority};

/// An authority's part of its life, in percent, after which there is a new one.
const AUTHORITY_SPENT: u64 = 80;
/// The same of a certificate.
const LEAF_SPENT: u64 = 66;

/// Who needs a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its Secret.
    pub secret: &'static str,
    /// Its common name.
    pub common_name: &'static str,
    /// DNS names and addresses that it bears.
    pub names: Vec<String>,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Authorities, oldest first.
    pub authorities: Vec<Authority>,
    /// The request for a new one that was answered last, and the one that stands: whoever writes another word there gets one.
    pub rotated: Option<String>,
    /// See `rotated`.
    pub rotate: Option<String>,
    /// Certificates by their Secret, those that we have made.
    pub issued: BTreeMap<String, Files>,
}

/// What is to be written next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The authorities; then plan again.
    Authorities(Vec<Authority>),
    /// A Secret's certificate; then plan again.
    Issue(&'static str, Files),
    /// Nothing.
    Nothing,
}

/// Plans. `overlap`: seconds from a new authority to its first certificate.
///
/// # Errors
/// When a certificate can't be made.
pub fn next(state: &State, wanted: &[Wanted], overlap: u64, now: u64) -> Result<Next> {
    let asked = state.rotate.is_some() && state.rotate != state.rotated;
    let known = known(state, now);
    let newest = known.iter().rev().find(|one| one.key.is_some());
    let is_due = match newest {
        Some(newest) => authority::validity(&newest.certificate)?.is_spent(AUTHORITY_SPENT, now),
        None => true,
    };
    if asked || is_due {
        let mut all = known;
        all.push(Authority::create(now)?);
        return Ok(Next::Authorities(all));
    }
    if known != state.authorities {
        return Ok(Next::Authorities(known));
    }
    let signer = signer(&known, overlap, now)?;
    let cacert: String = known.iter().map(|one| one.certificate.as_str()).collect();
    for one in wanted {
        let there = state.issued.get(one.secret);
        let stays = there.map(|files| still_good(files, &known, signer, &one.names, now));
        let (cert, key) = match (there, stays) {
            (Some(files), Some(true)) if files.cacert == cacert => continue,
            (Some(files), Some(true)) => (files.cert.clone(), files.key.clone()),
            _ => signer.issue(one.common_name, &one.names, now)?,
        };
        return Ok(Next::Issue(one.secret, Files { cacert, cert, key }));
    }
    Ok(Next::Nothing)
}

/// The authorities that count: those that are written down and haven't expired, and, where the Secret of the authorities was
/// lost, those whose certificates are in use still.
fn known(state: &State, now: u64) -> Vec<Authority> {
    let holds = |pem: &str| authority::validity(pem).is_ok_and(|validity| validity.holds(now));
    let mut all: Vec<Authority> = Vec::new();
    for files in state.issued.values() {
        for certificate in authority::split(&files.cacert).unwrap_or_default() {
            let is_new = |one: &Authority| one.certificate != certificate;
            if state.authorities.iter().all(is_new) && all.iter().all(is_new) && holds(&certificate) {
                all.push(Authority { certificate, key: None });
            }
        }
    }
    all.extend(state.authorities.iter().filter(|one| holds(&one.certificate)).cloned());
    all
}

/// The newest authority that is known for long enough; where none is, the oldest that can issue.
fn signer(known: &[Authority], overlap: u64, now: u64) -> Result<&Authority> {
    let able = || known.iter().filter(|one| one.key.is_some());
    let is_known = |one: &&Authority| one.made().is_ok_and(|made| now >= made + overlap);
    able()
        .rev()
        .find(is_known)
        .or_else(|| able().next())
        .context("invariant: an authority with a key was made")
}

fn still_good(files: &Files, known: &[Authority], signer: &Authority, names: &[String], now: u64) -> bool {
    let Ok(validity) = authority::check(files, now) else { return false };
    let by = |one: &Authority| authority::verifies(&one.certificate, &files.cert).unwrap_or(false);
    // One of a former authority is replaced as soon as another one issues, unless that one is too new for those who have it.
    let is_signers = by(signer) || known.iter().any(|one| one.key.is_none() && by(one));
    is_signers && !validity.is_spent(LEAF_SPENT, now) && authority::bears(&files.cert, names).unwrap_or(false)
}
