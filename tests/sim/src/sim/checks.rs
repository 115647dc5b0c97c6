//! What is checked when all is at rest: foreign rows, replicas, that a fresh engine finds nothing to do, and silence.

use std::collections::BTreeMap;

use tombolo_engine::{Effect, Event, Leadership, NbEvent, WatchEvent};
use tombolo_net::Family;
use tombolo_plan::nb::table;
use tombolo_plan::{Kind, World};

use super::Sim;
use crate::{api, guard, standing};

impl Sim {
    /// Checks what must hold whenever nothing is under way.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn check(&self) {
        self.guard.check_all(self.nb.rows());
    }

    /// What an engine that starts now on copies of the stores would do: nothing, if the one that leads has done
    /// all there is to do and nothing else (`incremental == full`, invariant 9).
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        let mut nb = self.nb.clone();
        // By the clock of the one that leads.
        let ahead = self.controllers.iter().find(|it| it.engine.health().leading).map(|it| it.ahead);
        let mut controller = self.fresh_controller(0, ahead.unwrap_or(self.wall_ahead));
        let engine = &mut controller.engine;
        for kind in Kind::ALL {
            engine.handle(self.now, Event::Watch(WatchEvent::Restarted(kind)));
            for (_, object) in self.api.list(kind) {
                let entry = api::Entry { kind, what: api::Happened::Applied, object: object.clone() };
                engine.handle(self.now, Event::Watch(api::watch_event(&entry)));
            }
            engine.handle(self.now, Event::Watch(WatchEvent::Synced(kind)));
        }
        engine.handle(self.now, Event::Nb(NbEvent::Replaced(controller.monitor.replica().clone())));
        engine.handle(self.now, Event::Leadership(Leadership::Held));
        for effect in engine.poll(self.now) {
            let Effect::Commit { id, txn } = effect else { continue };
            let (result, changes) = nb.execute(&txn);
            let changes = controller.monitor.apply(&changes);
            let replica = controller.monitor.replica().clone();
            engine.handle(self.now, Event::Nb(NbEvent::Changed { replica, changes }));
            engine.handle(self.now, Event::CommitDone { id, result });
        }
        assert!(engine.health().leading, "the auditing engine does not lead");
        let acts = engine.poll(self.now).into_iter().filter_map(|effect| match effect {
            Effect::Write(write) => Some(format!("{write:?}")),
            Effect::Commit { txn, .. } => Some(format!("{txn:?}")),
            Effect::Notify(_) | Effect::Log { .. } | Effect::Resign { .. } => None,
        });
        let mut acts: Vec<String> = acts.collect();
        if let Some(leader) = self.controllers.iter().find(|it| it.engine.health().leading) {
            let (full, incremental) = (self.pools(engine.world()), self.pools(leader.engine.world()));
            if acts.is_empty() && full != incremental {
                acts.push(format!("pools: {full:#?} differ from {incremental:#?}"));
            }
        }
        acts
    }

    /// What an engine takes for used, and for contested.
    fn pools(&self, world: &World) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (name, _) in self.api.list(Kind::Subnet) {
            // While a switch is lost, only who saw it stand knows what was in effect (`World::established`).
            let stands = self.nb.rows().rows(table::SWITCH).any(|(_, row)| row.str("name") == Some(name));
            let Some(pool) = world.pool(name).filter(|_| stands) else { continue };
            let used = [Family::V4, Family::V6].map(|family| pool.pool(family).map(|it| it.using_ranges()));
            all.insert(name.to_owned(), format!("{} {used:?}", pool.cidr()));
        }
        for (name, _) in self.api.list(Kind::Ip) {
            if let Some(why) = world.contested(name) {
                all.insert(name.to_owned(), why.to_owned());
            }
        }
        all
    }

    /// Settles, and checks that a fresh engine would find nothing to do, and that nothing is done as time passes.
    ///
    /// # Panics
    /// When there is something to do.
    pub fn converge(&mut self) {
        self.settle();
        guard::check_ips(&self.api);
        standing::check(self);
        self.check_links();
        self.check_audit();
        let (commits, writes) = (self.commits.len(), self.writes.len());
        self.advance(120_000);
        assert_eq!(
            (self.commits.len(), self.writes.len()),
            (commits, writes),
            "invariant 9: not silent at rest"
        );
    }

    /// Checks that a fresh engine would find nothing to do.
    ///
    /// # Panics
    /// When there is something to do.
    pub fn check_audit(&self) {
        let acts = self.audit();
        assert!(
            acts.is_empty(),
            "incremental differs from full: {acts:#?}\nlast lines of the log: {:#?}, {:?}",
            self.log.iter().rev().take(12).collect::<Vec<_>>(),
            self.controllers[0].engine.health()
        );
    }
}
