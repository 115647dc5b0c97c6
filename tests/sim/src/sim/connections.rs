//! Controllers, and their connections to the API server, the database and the lease: made, broken, made again.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_engine::{Engine, Event, Leadership, NbEvent, WatchEvent};
use tombolo_plan::Kind;

use super::{Controller, Sim, UNIX_AT_ZERO, Wire};
use crate::api;
use crate::nb::Monitor;

impl Sim {
    pub(super) fn fresh_controller(&self, life: u64) -> Controller {
        let monitor = Monitor::new(
            &self.nb,
            &tombolo_plan::nb::wanted(&self.config.cluster),
            &tombolo_plan::nb::indexes(),
        );
        Controller {
            engine: Engine::new(self.config.clone(), UNIX_AT_ZERO),
            life,
            monitor,
            nb_connected: true,
            withheld: tombolo_ovsdb::ChangeSet::default(),
            watches: Kind::ALL.iter().map(|kind| (*kind, None)).collect(),
            commit_out: false,
            writes_out: BTreeSet::new(),
            writes_by_id: BTreeMap::new(),
        }
    }

    /// Starts a further controller: it lists all kinds and reads the database.
    pub fn start_controller(&mut self) -> usize {
        let controller = self.fresh_controller(0);
        self.controllers.push(controller);
        let number = self.controllers.len() - 1;
        self.connect_all(number);
        number
    }

    /// Kills a controller and starts it again on what the stores hold. It doesn't lead.
    pub fn restart(&mut self, number: usize) {
        let life = self.controllers[number].life + 1;
        self.controllers[number] = self.fresh_controller(life);
        self.connect_all(number);
    }

    fn connect_all(&mut self, number: usize) {
        for kind in Kind::ALL {
            self.send_event(number, Wire::Watch(kind), Event::Watch(WatchEvent::Restarted(kind)));
            self.resume_watch(number, kind);
        }
        let replica = self.controllers[number].monitor.replica().clone();
        self.send_event(number, Wire::Nb, Event::Nb(NbEvent::Replaced(replica)));
    }

    /// Gives the lease to a controller. Nothing is taken from another one: that is [`Sim::depose`].
    pub fn elect(&mut self, number: usize) {
        self.send_event(number, Wire::Lease, Event::Leadership(Leadership::Held));
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

    /// Ends the list that [`Sim::break_watch`] began, with what is there now.
    pub fn resume_watch(&mut self, number: usize, kind: Kind) {
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
        self.send_event(number, Wire::Watch(kind), Event::Watch(WatchEvent::Synced(kind)));
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
        for event in objects {
            self.send_event(number, Wire::Watch(kind), Event::Watch(event));
        }
        self.api.log().len()
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
