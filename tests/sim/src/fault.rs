//! The kinds of trouble, each by name, so that a run can say which it met and a test that none was missed.

use std::collections::BTreeMap;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A kind of trouble.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[doc = $doc])+ $name,)+ }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name,)+];
        }
    };
}

faults! {
    // The API server and its wires.
    /// A message of a watch took a second or more.
    WatchLate,
    /// A watch said the same thing twice.
    WatchRepeated,
    /// A write never arrived.
    WriteLost,
    /// A write was done and its answer was lost.
    WriteAnswerLost,
    /// A write was done after its sender had given it up.
    WriteLate,
    /// A write was done twice, and the second answer came back.
    WriteRepeated,
    /// A write was refused because the object had changed.
    WriteConflict,
    /// 410 Gone: a list began anew.
    Relisted,
    /// Things happened between the beginning and the end of a list.
    ListCrossed,
    /// A list lacked most of its objects, and said that it was complete.
    ListShort,
    /// The API server lost most objects of a kind without a word.
    ObjectsLost,
    // The database's connection.
    /// Bytes of one message came in pieces.
    FrameSplit,
    /// A connection was cut.
    ConnectionCut,
    /// It was cut in the middle of a message.
    CutInFrame,
    /// A connection was refused.
    ConnectRefused,
    /// A server was silent until it was given up.
    ServerSilent,
    /// A transaction never arrived.
    TxnLost,
    /// A transaction was done and its answer was lost.
    TxnAnswerLost,
    /// A transaction was done after its sender had given it up.
    TxnLate,
    // The database's cluster.
    /// Another server became the leader.
    LeaderChanged,
    /// A follower was asked, and passed over.
    FollowerPassedOver,
    /// A leader that was cut off believed to lead, and had clients.
    LeaderCutOff,
    /// A transaction was sent to a leader that was cut off.
    TxnToOldLeader,
    /// A server with less than the client knew was passed over.
    ServerBehind,
    /// A client went on where it was.
    Resumed,
    /// History was forgotten.
    Compacted,
    /// A client couldn't go on where it was and got everything anew.
    ResumeRefused,
    // Controllers.
    /// A process was killed.
    Crashed,
    /// Messages of its were under way.
    CrashedWithMessages,
    /// A process stood still.
    Frozen,
    /// The clock on the wall was set.
    WallClockSet,
    /// The lease was lost.
    LeaseLost,
    /// A second controller was given the lease.
    LeaseUsurped,
    /// Two controllers believed to lead at once.
    TwoLeaders,
    /// The database refused a deposed leader.
    Fenced,
    // Neutron and others in the database.
    /// Neutron wrote.
    NeutronWrote,
    /// Neutron deleted.
    NeutronDeleted,
    /// Neutron's maintenance changed rows of everybody.
    NeutronMaintained,
    /// Another client took the name of a Subnet for a switch.
    NameTaken,
    /// Another client added a port to a Subnet's switch.
    ForeignPort,
    // Users and kubelets.
    /// A pod went without grace.
    PodForceDeleted,
    /// A pod finished.
    PodFinished,
    /// A pod went twice: the end of what is no more.
    PodDeletedTwice,
    /// A pod began to end and kubelet never finished.
    PodNeverDeleted,
    /// A pod of the same name came at once.
    PodReplaced,
    /// An IP object was deleted by hand.
    IpDeleted,
    /// A Subnet was deleted.
    SubnetDeleted,
    /// The spec of a Subnet with addresses in use was changed.
    SubnetEdited,
    /// Such a change was taken back.
    SubnetEditTakenBack,
    /// At rest: an edit was refused.
    EditRefused,
    /// At rest: an edit was refused and taken back.
    EditUndone,
    /// At rest: an edit of a Subnet without users was done.
    EditAccepted,
    /// At rest: an edit of a Subnet in use was done.
    EditInUse,
    /// A namespace's labels changed.
    NamespaceLabeled,
    /// A node's addresses changed.
    NodeMoved,
    /// A node came to lie inside of a Subnet's network.
    NodeInside,
    /// A namespace had several Subnets of its own.
    ManySubnets,
    /// A namespace was on a Subnet that chose it by its labels.
    ChosenByLabel,
    /// A pod named its Subnet.
    SubnetNamed,
    /// A pod was given one of the addresses that it offered.
    PoolOffered,
    /// A StatefulSet's pod came back on another node.
    StatefulMoved,
    /// A pod had addresses of both families.
    DualStack,
    /// The controller had flags other than the default.
    OtherFlags,
}

/// How often each kind was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits(BTreeMap<Fault, u64>);

impl Hits {
    /// Counts one.
    pub fn hit(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Hits) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }

    /// Of one kind.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or_default()
    }

    /// Kinds that weren't met at all.
    #[must_use]
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|fault| self.of(*fault) == 0).collect()
    }

    /// A line for each kind.
    #[must_use]
    pub fn table(&self) -> String {
        Fault::ALL.iter().map(|fault| format!("{:>9}  {fault:?}\n", self.of(*fault))).collect()
    }
}
