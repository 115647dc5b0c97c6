//! One owner's step: plan it, and do the first stage that leaves something to do.

use tombolo_diff::{Group, Refusal, diff, take_over};
use tombolo_names::Reason;
use tombolo_plan::{Intent, Kind, Owner, Plan, Problem, Rows, Stage, plan};

use crate::commit::Batch;
use crate::io::{Millis, Verb};
use crate::{Engine, REFUSED_PAUSE, TURN, contention};

impl Engine {
    /// Runs dirty owners until none is left, a transaction is full, or the turn is over.
    pub(crate) fn run(&mut self, now: Millis) {
        let end = self.stats.plans + TURN as u64;
        // A part of a batch that failed goes alone. One that has nothing to write any more makes room for the next.
        while self.commit.is_none()
            && let Some(part) = self.reign.parts.pop_front()
        {
            let mut batch = Batch::default();
            for owner in part {
                self.reign.work.planned(&owner);
                self.step(now, owner, &mut batch);
            }
            self.send(batch);
        }
        let mut batch = Batch::default();
        // Those with rows to write have waited longest. One batch of them is planned again for each transaction,
        // and not all: a start with many objects would plan each of them for each transaction.
        while self.commit.is_none()
            && !batch.is_full()
            && self.stats.plans < end
            && let Some(owner) = self.reign.after_commit.pop()
        {
            self.reign.work.planned(&owner);
            self.step(now, owner, &mut batch);
        }
        while !batch.is_full() && self.stats.plans < end {
            let Some(owner) = self.reign.work.next() else { break };
            self.reign.work.planned(&owner);
            self.step(now, owner, &mut batch);
        }
        let is_over = self.stats.plans >= end;
        self.send(batch);
        let waits = self.commit.is_none() && !self.reign.after_commit.is_empty();
        if is_over && (self.reign.work.pending() > 0 || waits) {
            self.reign.more_since = Some(now);
        }
    }

    fn step(&mut self, now: Millis, owner: Owner, batch: &mut Batch) {
        self.stats.plans += 1;
        self.reign.after_commit.remove(&owner);
        self.reign.waiters.begin(&owner);
        self.reign.taken.forget(&owner);
        self.reign.awaited.forget(&owner);
        let mut plan = plan(&self.world, &owner);
        let mut problems = plan.problems.clone();
        problems.extend(self.reign.work.state(&owner).refused.clone());
        if let Some(blocker) = &plan.waits_for {
            self.reign.work.block(owner.clone(), blocker.clone());
        }
        if let Some(wait) = &plan.waits_for_address {
            self.reign.waiters.wait_for(&owner, wait);
        }
        if let Some(seconds) = plan.again_secs {
            self.reign.work.add_at(owner.clone(), now + seconds.saturating_mul(1_000));
        }
        self.forget_reservation(now, &owner, &plan);
        // Writes that had no effect before are left out and hold up nothing else.
        let mut stages = std::mem::take(&mut plan.stages);
        for stage in &mut stages {
            if let Stage::Objects(intents) = stage {
                *intents = self.sift(now, &owner, std::mem::take(intents));
            }
        }
        let mut got = None;
        let stands = stages.into_iter().all(|stage| match stage {
            Stage::Address(request) => {
                match self.allocate(now, &owner, &request) {
                    Ok(subnet) => got = Some(subnet),
                    Err(problem) => problems.push(problem),
                }
                false
            }
            Stage::Objects(intents) => self.objects_stand(&owner, intents, plan.explained),
            Stage::Rows(rows) => self.rows_stand(now, &owner, &rows, &plan, batch, &mut problems),
        });
        if stands {
            self.reign.work.state(&owner).succeeded();
            problems.clone_from(&plan.problems);
            self.world.forget_deleted(&owner);
            self.reign.absent.remove(&owner);
        }
        if let Some(next) = self.reign.waiters.end(&owner, got.as_deref()) {
            self.reign.work.add(next);
        }
        self.reign.vain.planned(&owner);
        for (object, problem) in self.reign.vain.problems(&owner) {
            self.tell_of(&owner, object, &problem);
            problems.push(problem);
        }
        self.tell(&owner, &problems);
        self.reign.work.settle(&owner);
    }

    /// Whether no object is to be written, so that the next stage may come. If there are some, they are written.
    fn objects_stand(&mut self, owner: &Owner, intents: Vec<Intent>, explained: bool) -> bool {
        let stand = intents.is_empty();
        // To take the last finalizer away is to delete.
        let ends = |intent: &Intent| intent.verb == Verb::Delete || intent.kind == Kind::Ip;
        if !(intents.iter().any(ends) && self.must_ask(owner, explained)) {
            for intent in intents {
                self.write(owner, intent);
            }
        }
        stand
    }

    /// Whether the rows are as desired, so that the next stage may come. If not, they are put into the batch or
    /// wait.
    fn rows_stand(
        &mut self,
        now: Millis,
        owner: &Owner,
        rows: &Rows,
        plan: &Plan,
        batch: &mut Batch,
        problems: &mut Vec<Problem>,
    ) -> bool {
        let group = match self.compare(owner, rows) {
            Ok(group) => group,
            Err(Refusal::NoParent { .. }) => {
                // Its arrival makes the owner of these rows dirty only where it is ours: look again.
                self.reign.work.add_at(owner.clone(), now + 1_000);
                return false;
            }
            // Not a fault: its row changes as they leave, which makes the owner dirty.
            Err(Refusal::InUse { .. }) => return false,
            Err(refusal) => {
                let reason = match refusal {
                    Refusal::NameTaken { .. } | Refusal::EntryTaken { .. } => Reason::NameTaken,
                    Refusal::NotOurs { .. } => Reason::RowNotOurs,
                    Refusal::HangsOnForeign { .. } => Reason::HangsOnForeignRow,
                    _ => Reason::HoldsForeignRows,
                };
                let problem = Problem { reason, message: refusal.to_string() };
                self.report_refusal(now, owner, &problem);
                problems.push(problem);
                if let Refusal::NameTaken { uuid, .. } = refusal {
                    // Until that row goes or is renamed there is nothing to try.
                    self.reign.taken.wait(owner, uuid);
                } else {
                    self.reign.work.add_at(owner.clone(), now + REFUSED_PAUSE);
                }
                return false;
            }
        };
        for uuid in &group.awaited {
            self.reign.awaited.wait(owner, *uuid);
        }
        if group.is_empty() {
            if plan.waits_for.is_none() {
                self.reign.work.unblock(owner);
            }
            return true;
        }
        let wanted = contention::fingerprint(self.world.nb(), rows);
        if let Some(until) = self.reign.contention.wait(owner, wanted, now) {
            let problem = contention::problem();
            self.report_refusal(now, owner, &problem);
            problems.push(problem);
            self.reign.work.add_at(owner.clone(), until);
            return false;
        }
        if group.deletes > 0 {
            if !self.sources.can_delete() {
                self.reign.work.add_at(owner.clone(), now + 1_000);
                return false;
            }
            if self.must_ask(owner, plan.explained) {
                return false;
            }
        }
        if self.commit.is_some() {
            self.reign.after_commit.push(owner.clone());
            return false;
        }
        // Only now, so that an owner that waits for its turn is charged once. An object that is gone according to the
        // API server itself explains the deletion.
        let explained = plan.explained || self.reign.absent.contains(owner);
        if group.deletes > 0 && !explained && !self.reign.brake.charge(group.deletes, self.own_rows) {
            self.hold(owner);
            return false;
        }
        self.reign.contention.writing(owner, wanted);
        batch.push(group);
        false
    }

    fn compare(&self, owner: &Owner, rows: &Rows) -> Result<Group, Refusal> {
        let (nb, config) = (self.world.nb(), self.world.config());
        let takes_over = config.take_over && self.world.is_left_by_kube_ovn();
        let taken = takes_over.then(|| take_over(nb, &config.cluster, owner, rows)).flatten();
        taken.map_or_else(|| diff(nb, &config.cluster, owner, rows), Ok)
    }
}

#[cfg(test)]
mod tests {
    use tombolo_plan::desired::{DesiredRow, Edge};
    use tombolo_plan::nb::table;

    use super::*;
    use crate::tests::bed::Bed;

    #[test]
    fn what_hangs_on_a_row_that_is_not_there_is_tried_again_after_a_second() {
        // Where assertions are on, no plan may ask for it; in a release a router may be gone before its rows are written.
        let mut bed = Bed::leading();
        let owner = Owner::subnet("s");
        let uuid = bed.uuid(table::ROUTER_PORT, &owner, "router-port");
        let parent = bed.uuid(table::ROUTER, &Owner::vpc("gone"), "router");
        let edges = vec![Edge { table: table::ROUTER, parent, column: "ports" }];
        let row = DesiredRow { table: table::ROUTER_PORT, uuid, columns: [].into(), edges };
        let rows = Rows { rows: vec![row], ..Rows::default() };
        let plan = Plan::default();
        let mut problems = Vec::new();
        assert!(!bed.engine.rows_stand(bed.now, &owner, &rows, &plan, &mut Batch::default(), &mut problems));
        assert_eq!(problems, []);
        assert_eq!(bed.engine.reign.work.due(&owner), Some(bed.now + 1_000));
    }
}
