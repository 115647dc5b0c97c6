//! Controllers, and their connections to the API server, the database and the lease: made, broken, made again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tombolo_engine::{Engine, Event, Leadership, Millis, NbEvent, WatchEvent};
use tombolo_plan::Kind;

use super::wired::Wired;
use super::{Controller, Message, Sim, UNIX_AT_ZERO, Wire};
use crate::api;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::nb::Monitor;

impl Controller {
    /// What a client that has just connected sees of the database.
    pub(super) fn monitor_of(&self, nb: &crate::nb::Server, config: &tombolo_plan::Config) -> Monitor {
        Monitor::new(nb, &tombolo_plan::nb::wanted(&config.cluster), &tombolo_plan::nb::indexes())
    }
}

impl Sim {
    pub(super) fn fresh_controller(&self, life: u64, ahead: i64) -> Controller {
        let monitor = Monitor::new(
            &self.nb,
            &tombolo_plan::nb::wanted(&self.config.cluster),
            &tombolo_plan::nb::indexes(),
        );
        Controller {
            engine: Engine::new(self.config.clone(), UNIX_AT_ZERO + ahead),
            life,
            monitor,
            nb_connected: true,
            withheld: tombolo_ovsdb::ChangeSet::default(),
            watches: Kind::ALL.iter().map(|kind| (*kind, None)).collect(),
            commit_out: false,
            link: None,
            frozen_until: 0,
            ahead,
            writes_out: BTreeSet::new(),
            writes_by_id: BTreeMap::new(),
        }
    }

    /// Starts a further controller: it lists all kinds and reads the database.
    pub fn start_controller(&mut self) -> usize {
        let mut controller = self.fresh_controller(0, self.wall_ahead);
        controller.link = self.new_link();
        self.controllers.push(controller);
        let number = self.controllers.len() - 1;
        self.connect_all(number);
        number
    }

    /// Kills a controller and starts it again on what the stores hold. It doesn't lead.
    pub fn restart(&mut self, number: usize) {
        self.drop_connection(number);
        let life = self.controllers[number].life + 1;
        let mut controller = self.fresh_controller(life, self.wall_ahead);
        controller.link = self.new_link();
        self.controllers[number] = controller;
        self.connect_all(number);
    }

    /// A process is killed between two steps: some of what it sent never arrives. It starts again at once, and gets the
    /// lease within two seconds.
    pub fn crash(&mut self, number: usize) {
        self.hits.hit(Fault::Crashed);
        self.tell(|| format!("controller {number} is killed"));
        let life = self.controllers[number].life;
        let of = |message: &Message| match message {
            Message::Write(of, its, _) | Message::Commit(of, its, ..) => (*of, *its) == (number, life),
            Message::Wired(Wired::Submit(of, its, ..)) => (*of, *its) == (number, life),
            _ => false,
        };
        let keys: Vec<_> = self.queue.iter().filter(|(_, it)| of(it)).map(|(key, _)| *key).collect();
        if !keys.is_empty() {
            self.hits.hit(Fault::CrashedWithMessages);
        }
        for key in keys {
            if self.rng.permille(500) {
                self.queue.remove(&key);
            }
        }
        self.restart(number);
        let later = self.rng.below(2_000);
        self.elect_later(number, later);
    }

    /// A process stands still for so long, and then goes on as if nothing had been.
    pub fn freeze(&mut self, number: usize, millis: Millis) {
        self.hits.hit(Fault::Frozen);
        self.tell(|| format!("controller {number} stands still for {millis} ms"));
        let until = &mut self.controllers[number].frozen_until;
        *until = (*until).max(self.now + millis);
    }

    /// What a watch says takes so long from now on, until it has caught up.
    pub fn stall_watch(&mut self, number: usize, kind: Kind, millis: Millis) {
        let last = self.wires.entry((number, Wire::Watch(kind))).or_insert(0);
        *last = (*last).max(self.now + millis);
    }

    fn connect_all(&mut self, number: usize) {
        for kind in Kind::ALL {
            self.send_event(number, Wire::Watch(kind), Event::Watch(WatchEvent::Restarted(kind)));
            self.resume_watch(number, kind);
        }
        if self.controllers[number].link.is_none() {
            let replica = self.controllers[number].monitor.replica().clone();
            self.send_event(number, Wire::Nb, Event::Nb(NbEvent::Replaced(replica)));
        }
    }

    /// Gives the lease to a controller. Nothing is taken from another one: that is [`Sim::depose`].
    pub fn elect(&mut self, number: usize) {
        self.send_event(number, Wire::Lease, Event::Leadership(Leadership::Held));
    }

    /// Gives the lease to a controller after so long.
    pub fn elect_later(&mut self, number: usize, millis: Millis) {
        let life = self.controllers[number].life;
        let event = Box::new(Event::Leadership(Leadership::Held));
        self.post(self.now + millis, Message::Event(number, life, event));
    }

    /// Takes the lease from a controller.
    pub fn depose(&mut self, number: usize) {
        self.send_event(number, Wire::Lease, Event::Leadership(Leadership::Lost));
    }

    /// Breaks a watch: a new list begins, and nothing arrives until [`Sim::resume_watch`].
    pub fn break_watch(&mut self, number: usize, kind: Kind) {
        self.controllers[number].watches.insert(kind, None);
        self.send_event(number, Wire::Watch(kind), Event::Watch(WatchEvent::Restarted(kind)));
    }

    /// Ends the list that [`Sim::break_watch`] began, with what is there now. Nothing happens if there is none: the process
    /// that began it is no more.
    pub fn resume_watch(&mut self, number: usize, kind: Kind) {
        if self.controllers[number].watches[&kind].is_some() {
            return;
        }
        let read = self.list(number, kind);
        self.end_list(number, kind, read);
    }

    /// Begins a list of what is there now; returns where the watch will go on, for [`Sim::end_list`].
    pub fn begin_list(&mut self, number: usize, kind: Kind) -> usize {
        self.break_watch(number, kind);
        self.list(number, kind)
    }

    /// Ends a list that is as old as `read` says; what happened since follows it.
    pub fn end_list(&mut self, number: usize, kind: Kind, read: usize) {
        if self.controllers[number].watches[&kind].is_some() {
            return;
        }
        // The mutant has said so before.
        if self.mutant != Some(Mutant::EarlySyncMark) {
            self.send_event(number, Wire::Watch(kind), Event::Watch(WatchEvent::Synced(kind)));
        }
        self.controllers[number].watches.insert(kind, Some(read));
        self.fan_out();
    }

    fn list(&mut self, number: usize, kind: Kind) -> usize {
        let objects: Vec<WatchEvent> = self
            .api
            .list(kind)
            .map(|(_, object)| {
                api::watch_event(&api::Entry { kind, what: api::Happened::Applied, object: object.clone() })
            })
            .collect();
        let half = objects.len() / 2;
        for (position, event) in objects.into_iter().map(Some).chain([None]).enumerate() {
            if self.mutant == Some(Mutant::EarlySyncMark) && position == half {
                self.send_event(number, Wire::Watch(kind), Event::Watch(WatchEvent::Synced(kind)));
                // The next page takes its time.
                self.stall_watch(number, kind, 5_000);
            }
            if let Some(event) = event {
                self.send_event(number, Wire::Watch(kind), Event::Watch(event));
            }
        }
        self.api.log().len()
    }

    /// A list that lacks most objects and says that it is complete. The truth comes with the next list.
    pub fn list_short(&mut self, number: usize, kind: Kind, kept: impl Fn(&str) -> bool) {
        self.hits.hit(Fault::ListShort);
        self.break_watch(number, kind);
        let entry = |object: &serde_json::Value| {
            api::watch_event(&api::Entry { kind, what: api::Happened::Applied, object: object.clone() })
        };
        let objects: Vec<WatchEvent> =
            self.api.list(kind).filter(|(key, _)| kept(key)).map(|(_, object)| entry(object)).collect();
        for event in objects {
            self.send_event(number, Wire::Watch(kind), Event::Watch(event));
        }
        if self.mutant == Some(Mutant::LostAsDeleted) {
            let entry = |object: &serde_json::Value| {
                api::watch_event(&api::Entry { kind, what: api::Happened::Deleted, object: object.clone() })
            };
            let lost: Vec<WatchEvent> =
                self.api.list(kind).filter(|(key, _)| !kept(key)).map(|(_, object)| entry(object)).collect();
            for event in lost {
                self.send_event(number, Wire::Watch(kind), Event::Watch(event));
            }
        }
        self.send_event(number, Wire::Watch(kind), Event::Watch(WatchEvent::Synced(kind)));
        self.controllers[number].watches.insert(kind, Some(self.api.log().len()));
    }

    /// A brake that holds is let go, as by a human's hand: what [`Mutant::NoBrake`] is.
    pub(super) fn let_go(&mut self, number: usize) {
        if !self.controllers[number].engine.health().brake_holding || self.let_go >= self.now {
            return;
        }
        self.let_go = self.now;
        let Some(vpc) = self.api.get(Kind::Vpc, &self.config.cluster_router) else { return };
        let mut vpc = vpc.clone();
        vpc["metadata"]["annotations"]["tombolo.io/brake-release"] = json!(self.now.to_string());
        let entry = api::Entry { kind: Kind::Vpc, what: api::Happened::Applied, object: vpc };
        self.send_event(number, Wire::Watch(Kind::Vpc), Event::Watch(api::watch_event(&entry)));
    }

    /// Cuts a controller off from the database.
    pub fn disconnect_nb(&mut self, number: usize) {
        self.controllers[number].nb_connected = false;
        self.send_event(number, Wire::Nb, Event::Nb(NbEvent::Stale));
    }

    /// Connects it again: the monitor resumes and what was missed arrives, or the replica comes anew.
    pub fn reconnect_nb(&mut self, number: usize, resume: bool) {
        let controller = &mut self.controllers[number];
        controller.nb_connected = true;
        let changes = std::mem::take(&mut controller.withheld);
        let replica = controller.monitor.replica().clone();
        if resume {
            self.send_event(number, Wire::Nb, Event::Nb(NbEvent::Changed { replica, changes }));
            self.send_event(number, Wire::Nb, Event::Nb(NbEvent::Fresh));
        } else {
            self.send_event(number, Wire::Nb, Event::Nb(NbEvent::Replaced(replica)));
        }
    }
}
