//! All that belongs to one leadership of this process. It is dropped with the lease: what only a leader knows is no longer
//! true of a process that doesn't lead.

use std::collections::{BTreeSet, HashMap, VecDeque};

use tombolo_diff::brake::Brake;
use tombolo_plan::{Kind, Owner};

use crate::contention::Contention;
use crate::for_rows::ForRows;
use crate::io::Millis;
use crate::queue::Queue;
use crate::vain::Vain;
use crate::waiters::Waiters;
use crate::work::Work;

/// What a leader has to do, and what it knows beside the world.
#[derive(Debug, Default)]
pub(crate) struct Reign {
    /// Who is to be planned, and when.
    pub(crate) work: Work,
    /// Owners with rows to write that wait until the transaction under way is done.
    pub(crate) after_commit: Queue,
    /// Those who found no address.
    pub(crate) waiters: Waiters,
    /// Writes that had no effect.
    pub(crate) vain: Vain,
    /// Since when a turn has been over with work left.
    pub(crate) more_since: Option<Millis>,
    /// After a batch failed: the parts to be tried one by one.
    pub(crate) parts: VecDeque<BTreeSet<Owner>>,
    /// Holds deletions back that nothing explains.
    pub(crate) brake: Brake,
    /// Owners whose deletions it holds back.
    pub(crate) held: BTreeSet<Owner>,
    /// Owners whose objects no watch has shown, and the API server says that they aren't there.
    pub(crate) absent: BTreeSet<Owner>,
    /// Rows of others, and owners of ours that want their names.
    pub(crate) taken: ForRows,
    /// Shared rows that aren't there, and owners that have yet to put their entries there.
    pub(crate) awaited: ForRows,
    /// Rows that another writer undoes.
    pub(crate) contention: Contention,
    /// What was said of each owner, as numbers: the texts may be long.
    pub(crate) said: HashMap<Owner, BTreeSet<u64>>,
    /// Kinds whose CRD was said to be old.
    pub(crate) old_crds: BTreeSet<Kind>,
}
